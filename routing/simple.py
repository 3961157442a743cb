"""`/chat` and `/chat/stream`: a message in, a message out, for callers that want nothing else of OpenAI's API."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from gateway_project.lib.errors import ApiError, InvalidRequest
from gateway_project.lib.wire import LastPart
from routing.endpoints import CHAT, Endpoint
from routing.exchange import Exchange
from routing.policy import AUTO
from routing.providers import sse

LONGEST_MESSAGE = 10_000
HOTTEST = 2.0
MOST_TOKENS = 1_000_000
# Characters of an unknown field's name that the refusal shows.
SHOWN = 100
# Passed on as they are: the pipeline checks the gateway's own fields.
GATEWAY_FIELDS = ("sensitivity", "complexity")
FIELDS = ("message", *GATEWAY_FIELDS, "temperature", "max_tokens")


@dataclass(frozen=True, slots=True)
class SimpleChat:
    """The dialect of both (`routing.endpoints.Dialect`); the path says whether the answer is a stream."""

    streams: bool

    def request(self, body: dict[str, Any]) -> dict[str, Any]:
        for name in body:
            if name not in FIELDS:
                shown = name[:SHOWN]
                raise InvalidRequest(f"{shown}: unknown; the fields are {', '.join(FIELDS)}.", param=shown)
        chat: dict[str, Any] = {"model": AUTO, "messages": [{"role": "user", "content": _message(body)}]}
        temperature, max_tokens = _temperature(body), _max_tokens(body)
        if temperature is not None:
            chat["temperature"] = temperature
        if max_tokens is not None:
            chat["max_tokens"] = max_tokens
        chat |= {name: body[name] for name in GATEWAY_FIELDS if name in body}
        if self.streams:
            chat["stream"] = True
        return chat

    def refusal(self, exchange: Exchange, error: ApiError) -> ApiError:
        return error

    def answer(self, exchange: Exchange) -> bytes:
        usage = exchange.usage
        return orjson.dumps(
            {
                "message": "".join(_said(exchange.answer, "message")),
                "model_used": _model(exchange),
                "tokens_used": usage.prompt + usage.completion if usage else 0,
                "cost": exchange.cost,
                "cached": exchange.from_cache,
            }
        )

    async def stream(self, exchange: Exchange, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        begun = False
        async with aclosing(blocks):  # type: ignore[type-var]
            async for block in blocks:
                shown = b"".join(_events(block))
                if not begun:
                    begun, shown = True, _event({"model": _model(exchange)}) + shown
                if type(block) is LastPart:
                    yield LastPart(shown)
                elif shown:
                    yield shown


SIMPLE = Endpoint(CHAT.path, CHAT.capability, CHAT.content, "/chat", SimpleChat(streams=False))
SIMPLE_STREAM = Endpoint(CHAT.path, CHAT.capability, CHAT.content, "/chat/stream", SimpleChat(streams=True))


def _message(body: dict[str, Any]) -> str:
    message = body.get("message")
    if type(message) is not str or not 1 <= len(message) <= LONGEST_MESSAGE:
        raise InvalidRequest(f"message: must be a text of 1 to {LONGEST_MESSAGE} characters.", param="message")
    return message


def _temperature(body: dict[str, Any]) -> float | None:
    given: float | None = body.get("temperature")
    if given is not None and (type(given) not in (int, float) or not 0 <= given <= HOTTEST):
        raise InvalidRequest(f"temperature: must be a number from 0 to {HOTTEST:g}.", param="temperature")
    return given


def _max_tokens(body: dict[str, Any]) -> int | None:
    given: int | None = body.get("max_tokens")
    if given is not None and (type(given) is not int or not 1 <= given <= MOST_TOKENS):
        raise InvalidRequest(f"max_tokens: must be a whole number from 1 to {MOST_TOKENS}.", param="max_tokens")
    return given


def _model(exchange: Exchange) -> str:
    return exchange.target.model if exchange.target else ""


def _events(block: bytes) -> Iterator[bytes]:
    """What the whole events of `block` become: the text in them, an error, the end; nothing else is of interest."""
    for event in block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        chunk = sse.json_of(event)
        if chunk is None:
            if sse.data_of(event) == b"[DONE]":
                yield sse.DONE
        elif sse.is_error(chunk):
            yield _event({"error": chunk["error"]})
        elif text := "".join(_said(chunk, "delta")):
            yield _event({"content": text})


def _said(answer: dict[str, Any], member: str) -> Iterator[str]:
    """The texts of an answer's, or a chunk's, first choice; a refusal is one, the model's reasoning is none."""
    choices = answer.get("choices")
    choice = choices[0] if type(choices) is list and choices else None
    said = choice.get(member) if type(choice) is dict else None
    if type(said) is not dict:
        return
    content, refusal = said.get("content"), said.get("refusal")
    for part in content if type(content) is list else [{"text": content}]:
        if type(part) is dict and type(part.get("text")) is str:
            yield part["text"]
    if type(refusal) is str:
        yield refusal


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
