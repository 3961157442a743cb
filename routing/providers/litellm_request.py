"""An OpenAI-shaped chat request as arguments for litellm: what may be passed on, and what may not.

litellm takes its own settings (addresses, secrets, mock answers, callbacks) as arguments beside the request's fields,
so only fields named here are ever passed. A field that litellm cannot put in the provider's terms is refused by name:
it would drop some, and a request that was silently changed is worse than an error.
"""

import asyncio
import base64
import contextlib
from typing import Any

import orjson

from keys.kinds import Kind
from routing import http1
from routing.providers.base import DEFAULT_TIMEOUTS, Failure, UpstreamError

# OpenAI's fields for a chat, without those that the gateway handles itself (model, messages, stream).
_OPENAI_FIELDS = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
        "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store",
        "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
    }
)  # fmt: skip
# A provider's own fields, which litellm hands on as they are.
_OWN_FIELDS = {"anthropic": frozenset({"thinking", "top_k"}), "gemini": frozenset({"thinking", "top_k"})}
# Values that ask for what happens anyway: where the field cannot be passed on, they can be left out.
_DEFAULTS: dict[str, Any] = {
    "n": 1, "logprobs": False, "top_logprobs": 0, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {},
    "parallel_tool_calls": True, "store": False, "service_tier": "auto", "modalities": ["text"], "metadata": {},
    "tools": [], "functions": [],
}  # fmt: skip

# The images of one request that the gateway fetches for a provider that takes no addresses: how many, of how many
# bytes together (Gemini takes a request of 20 MB, Anthropic one of 32), and for how long each is waited for.
MOST_IMAGES = 20
MAX_IMAGES = 20 * 1024 * 1024
IMAGE_SECONDS = 20


def refused(message: str, param: str | None) -> UpstreamError:
    """The client's fault, told as OpenAI would."""
    body = {"message": message, "type": "invalid_request_error", "code": "unsupported_parameter", "param": param}
    return UpstreamError(Failure.STATUS, message, status=400, body=orjson.dumps({"error": body}))


def fields(kind: Kind, body: dict[str, Any], supported: frozenset[str]) -> dict[str, Any]:
    """The fields of `body` to pass on, beside model and messages.

    `supported` are OpenAI's fields that litellm can translate for this model. Raises `UpstreamError` (400, naming the
    field) for any other one that asks for something.
    """
    passed: dict[str, Any] = {}
    own = _OWN_FIELDS.get(kind.id, frozenset())
    for name, value in body.items():
        if name in ("model", "messages", "stream", "stream_options") or value is None:
            continue
        if name in own or (name in _OPENAI_FIELDS and name in supported):
            passed[name] = value
        elif name not in _DEFAULTS or value != _DEFAULTS[name]:
            raise refused(f"{kind.label} does not take '{name}'.", name)
    return passed


async def with_images(kind: Kind, messages: list[Any]) -> list[Any]:
    """`messages` with the images that the provider would not fetch itself put in their place.

    Azure fetches addresses itself, Anthropic those with https, Gemini none. Raises `UpstreamError` (400) for an image
    that cannot be had; those at private addresses cannot, wherever the operator lets providers be.
    """
    wanted: set[str] = set()
    for url in _image_urls(messages):
        if url.startswith("data:"):
            continue
        if not url.startswith(("https://", "http://")):
            raise refused("An image's url must begin with https://, http:// or data:.", "messages")
        if kind.id == "gemini" or (kind.id == "anthropic" and url.startswith("http://")):
            wanted.add(url)
    if not wanted:
        return messages
    if len(wanted) > MOST_IMAGES:
        raise refused(f"At most {MOST_IMAGES} images can be given by address; send others as data: URLs.", "messages")
    fetched = await _fetch_all(wanted)
    return [_inlined(message, fetched) for message in messages]


def _image_parts(message: Any) -> list[dict[str, Any]]:
    content = message.get("content") if isinstance(message, dict) else None
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]


def _url(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise refused("An image_url must be an object with a url.", "messages")
    return url


def _image_urls(messages: list[Any]) -> list[str]:
    return [_url(part) for message in messages for part in _image_parts(message)]


def _inlined(message: Any, fetched: dict[str, str]) -> Any:
    images = _image_parts(message)
    if not any(_url(part) in fetched for part in images):
        return message

    def inlined(part: Any) -> Any:
        if part not in images or _url(part) not in fetched:
            return part
        details = part["image_url"] if isinstance(part["image_url"], dict) else {}
        return {**part, "image_url": {**details, "url": fetched[_url(part)]}}

    return {**message, "content": [inlined(part) for part in message["content"]]}


async def _fetch_all(urls: set[str]) -> dict[str, str]:
    """The images at `urls` as data URLs. When one cannot be had, nobody waits for the others."""
    room = _Room()
    fetching = {url: asyncio.create_task(_fetch(url, room)) for url in urls}
    try:
        return dict(zip(fetching, await asyncio.gather(*fetching.values()), strict=True))
    finally:
        for task in fetching.values():
            task.cancel()


class _Room:
    """What is left of `MAX_IMAGES` for the images that are being fetched together."""

    def __init__(self) -> None:
        self.bytes = MAX_IMAGES


async def _fetch(url: str, room: _Room) -> str:
    """The image at `url` as a data URL."""
    problem = "it could not be fetched"
    with contextlib.suppress(http1.HttpError, TimeoutError, ValueError):
        async with asyncio.timeout(IMAGE_SECONDS):
            request = http1.Request.prepare("GET", url, {"Accept": "image/*", "Accept-Encoding": "identity"})
            response = await http1.clients_pool().send(request, None, DEFAULT_TIMEOUTS)
            with contextlib.closing(response):
                kind = response.header(b"content-type").partition(";")[0].strip().lower()
                if response.status != 200:
                    problem = f"its server answers {response.status}"
                elif not kind.startswith("image/"):
                    problem = f"its server calls it {kind or 'nothing'}"
                else:
                    data = await _read(response, room)
                    if data is not None:
                        return f"data:{kind};base64,{base64.b64encode(data).decode()}"
                    problem = f"those of a request may have {MAX_IMAGES} bytes together"
    raise refused(f"An image cannot be used: {problem}.", "messages")


async def _read(response: http1.Response, room: _Room) -> bytes | None:
    data = bytearray()
    while part := await response.read():
        data += part
        room.bytes -= len(part)
        if room.bytes < 0:
            return None
    return bytes(data)
