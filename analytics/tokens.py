"""Counts tokens where no upstream did. An estimate: the ledger flags what was counted here.

OpenAI's models are counted in their own encodings, from litellm's package, which needs no network: those since gpt-4o
take a sixth fewer tokens for German than their elders, and half as many for Arabic. Every other model is counted in
cl100k_base, whose vocabulary is the smaller one. An encoding is loaded when it is first needed, since most upstreams
send usage: 0.15 s and 32 MB for cl100k_base, 0.3 s and 58 MB for o200k_base.

Counting takes bounded time: `SAMPLE` characters at most are tokenized, some 3 ms; the rest is taken to be like them.
"""

import functools
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from tiktoken import Encoding

ENCODING = "cl100k_base"
# Of the encodings that models are said to have, those there are files for. o200k_harmony is o200k_base with more
# special tokens, which a text does not hold.
ENCODINGS = {"o200k_base": "o200k_base", "o200k_harmony": "o200k_base"}
# Characters tokenized of one request or answer, and in how many places they are taken from a longer text.
SAMPLE = 16_384
SLICES = 8
# Characters that are tokenized at once, of a text that is tokenized whole.
PIECE = 4096

# OpenAI's chat format: what surrounds each message, its name, and the beginning of the reply (OpenAI Cookbook, "How to
# count tokens with tiktoken").
PER_MESSAGE, PER_NAME, REPLY_START = 3, 1, 3
# An image in low detail, and one of 1024 by 1024 pixels otherwise, since its size is not known here
# (platform.openai.com/docs/guides/images-vision: 85, and 85 + 4 tiles of 170).
LOW_DETAIL_IMAGE, IMAGE = 85, 765


def count(text: str, model: str = "") -> int:
    """Tokens of `text`, about, as `model` would count them."""
    return _count([text], model)


def count_all(text: str) -> int:
    """Tokens of all of `text`, however long: for who needs to know rather than to guess.

    In pieces of `PIECE` characters, each of which ends a token: what it takes grows with the length alone, some 0.2 ms
    a kilobyte at worst, where one run of a million line breaks would take a second.
    """
    encode = _encoding(ENCODING).encode_ordinary
    return sum(len(encode(text[start : start + PIECE])) for start in range(0, len(text), PIECE))


def estimate_messages(messages: Sequence[Any], tools: Sequence[Any] = (), model: str = "") -> int:
    """Tokens of a chat's prompt, about: messages with their images, and tools as the JSON of their schemas.

    Whatever is not shaped like a message counts nothing; audio and files do not count either.
    """
    texts: list[str] = []
    fixed = REPLY_START
    for message in messages:
        if isinstance(message, dict):
            texts += [text for key in ("role", "name") if isinstance(text := message.get(key), str)]
            fixed += PER_MESSAGE + (PER_NAME if message.get("name") else 0) + _collect(message, texts)
    texts += [orjson.dumps(tool.get("function", tool)).decode() for tool in tools if isinstance(tool, dict)]
    return fixed + _count(texts, model)


def estimate_request(body: Mapping[str, Any], content: str = "", model: str = "") -> int:
    """Prompt tokens of an OpenAI-shaped request for a chat, a completion or embeddings, about, as `model` counts them.

    `content` is the member that holds the prompt, where that is known: others of such names count nothing then.
    """
    if content:
        body = {name: body.get(name) for name in (content, "tools")}
    messages = body.get("messages")
    if isinstance(messages, list):
        tools = body.get("tools")
        return estimate_messages(messages, tools if isinstance(tools, list) else (), model)
    prompt = body.get("prompt", body.get("input"))
    if isinstance(prompt, str):
        return _count([prompt], model)
    if not isinstance(prompt, list):
        return 0
    # Numbers are tokens already, in one list or in several.
    numbers = sum(1 if isinstance(part, int) else len(part) if isinstance(part, list) else 0 for part in prompt)
    return numbers + _count([part for part in prompt if isinstance(part, str)], model)


def answer_text(answer: Mapping[str, Any]) -> str:
    """What the model wrote in a whole answer or a chunk: text, refusal, reasoning, tool calls; all choices."""
    return "".join(_written(answer))


def completion_text(blocks: bytes) -> str:
    """What the model wrote in a stream's bytes, cut off anywhere, or in a whole answer's."""
    if blocks.lstrip()[:1] != b"{":
        return "".join(text for event in _events(blocks) for text in _written(event))
    answer = _object(blocks)
    return answer_text(answer) if answer else ""


def _events(blocks: bytes) -> Iterator[dict[str, Any]]:
    for line in blocks.splitlines():
        if line.startswith(b"data:") and (event := _object(line[5:])):
            yield event


def _object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that `data` is; None for `[DONE]`, half an event, or junk."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _written(answer: Mapping[str, Any]) -> Iterator[str]:
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if isinstance(text := choice.get("text"), str):
            yield text
        message = choice.get("delta") or choice.get("message")
        if isinstance(message, dict):
            texts: list[str] = []
            _collect(message, texts)
            yield from texts


def _collect(message: dict[str, Any], texts: list[str]) -> int:
    """Append what a message or delta says to `texts`; the return is the tokens of its images."""
    images = 0
    content = message.get("content")
    if isinstance(content, str):
        texts.append(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict):
                images += _image(part)
                texts += [text for name in ("text", "refusal") if isinstance(text := part.get(name), str)]
    for name in ("refusal", "reasoning_content", "reasoning"):
        if isinstance(text := message.get(name), str):
            texts.append(text)
            if name == "reasoning_content":
                break  # servers that send both say the same in both
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    for function in (*functions, message.get("function_call")):
        if isinstance(function, dict):
            texts += [text for key in ("name", "arguments") if isinstance(text := function.get(key), str)]
    return images


def _image(part: dict[str, Any]) -> int:
    if part.get("type") != "image_url":
        return 0
    image = part.get("image_url")
    return LOW_DETAIL_IMAGE if isinstance(image, dict) and image.get("detail") == "low" else IMAGE


def _count(texts: list[str], model: str) -> int:
    """Tokens of `texts` together; beyond `SAMPLE` characters those of slices from all over, in proportion."""
    texts = [text for text in texts if text]
    characters = sum(map(len, texts))
    if not characters:
        return 0
    encode = _encoding(_encoding_of(model)).encode_ordinary
    if characters <= SAMPLE:
        return sum(len(encode(text)) for text in texts)
    whole = "".join(texts)
    step, length = characters // SLICES, SAMPLE // SLICES
    sampled = sum(len(encode(whole[start : start + length])) for start in range(0, step * SLICES, step))
    return round(sampled * characters / SAMPLE)


@functools.lru_cache(1000)
def _encoding_of(model: str) -> str:
    """The name of the encoding that serves a model, whose name may have its maker's before it (`openai/gpt-4o`)."""
    from tiktoken.model import encoding_name_for_model

    try:
        return ENCODINGS.get(encoding_name_for_model(model.rpartition("/")[2]), ENCODING)
    except KeyError:
        return ENCODING


@functools.cache
def _encoding(name: str) -> "Encoding":
    spec = importlib.util.find_spec("litellm")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("litellm, whose encodings are needed, is not installed")
    directory = Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    # tiktoken looks for its encodings here before it downloads them.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(directory)
    import tiktoken

    encoding = tiktoken.get_encoding(name)
    # Only decoding single tokens and pickling need this table again, and it is a third of the memory.
    encoding._mergeable_ranks = {}
    return encoding
