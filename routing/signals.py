"""What an answer shows of its quality by itself, at no cost to anybody; `routing.calibration` says what it weighs.

Counted only where it is the model's fault: an answer cut at the client's own `max_tokens` is not. A stream is searched
for its finish reason at its end; its text is put together only where JSON was asked for, or a tool was called.
"""

import logging
from collections.abc import Iterator
from typing import Any

import orjson

from gateway_project.lib import bounded_json
from routing import calibration, retries, snapshot, stream_text
from routing.endpoints import CHAT
from routing.exchange import Exchange

logger = logging.getLogger(__name__)

JSON_FORMATS = frozenset({"json_object", "json_schema"})
# Ends of ids, which are random, that make a sample of one in `calibration.ANSWERED_SAMPLE`.
SAMPLED = frozenset(f"{number:02x}" for number in range(0, 256, calibration.ANSWERED_SAMPLE))


def found(exchange: Exchange) -> list[dict[str, Any]]:
    """The evidence in an exchange that is being settled: `{model, complexity, signal}` for each signal.

    `answered` also has `prior`, the quality that was taken for granted. The fixed text of a demo says nothing,
    nor do vectors, nor an answer that was given before.
    Raises nothing: no oddity of an answer may cost the ledger its record.
    """
    try:
        return _found(exchange)
    except Exception:
        logger.exception("the signals of request %s could not be read", exchange.id)
        return []


def _found(exchange: Exchange) -> list[dict[str, Any]]:
    target, label, caller = exchange.target, exchange.label, exchange.caller
    if exchange.from_cache or exchange.status != 200 or target is None or label is None or caller is None:
        return []
    if target.kind.wire == "demo" or exchange.endpoint.embeds:
        return []
    # A client may name models that nobody lists, and there is no end of names.
    if target.model not in snapshot.current.workspace(caller.workspace_id).by_model:
        return []
    evidence: list[dict[str, Any]] = []
    before = retries.recent.answered(exchange)
    if before is not None:
        evidence.append(_item(before.model, before.complexity, calibration.RETRIED))
    signal = _signal(exchange)
    if signal:
        evidence.append(_item(target.model, label.complexity, signal))
    elif exchange.id[-2:] in SAMPLED:
        item = _item(target.model, label.complexity, calibration.ANSWERED)
        evidence.append({**item, "prior": target.facts.quality})
    return evidence


def _item(model: str, complexity: str, signal: str) -> dict[str, Any]:
    # Postgres keeps no NUL in text.
    return {"model": model.replace("\0", ""), "complexity": complexity, "signal": signal}


def _signal(exchange: Exchange) -> str:
    """The first that is wrong with the answer; "" when nothing is."""
    body, streamed = exchange.body, exchange.streamed
    finish, refused = stream_text.ending(streamed) if streamed else _ending(exchange.answer)
    if refused or finish == "content_filter":
        return calibration.REFUSED
    if finish == "length":
        # The legacy endpoint cuts at 16 tokens unless it is told otherwise.
        limited = body.get("max_tokens") is not None or body.get("max_completion_tokens") is not None
        return "" if limited or exchange.endpoint.content != CHAT.content else calibration.TRUNCATED
    if finish == "tool_calls" and body.get("tools"):
        calls = stream_text.arguments(streamed) if streamed else _arguments(exchange.answer)
        return "" if all(map(_is_json, calls)) else calibration.INVALID_ARGUMENTS
    wanted = body.get("response_format")
    if finish == "stop" and type(wanted) is dict and wanted.get("type") in JSON_FORMATS:
        texts = stream_text.contents(streamed) if streamed else _contents(exchange.answer)
        return "" if texts and all(map(_is_json, texts)) else calibration.INVALID_JSON
    return ""


def _is_json(text: str) -> bool:
    try:
        bounded_json.loads(text.encode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return False
    except bounded_json.TooManyValues:
        return True  # nobody read it to its end
    return True


def _ending(answer: dict[str, Any]) -> tuple[Any, bool]:
    """The finish reason of a whole answer, its last choice's, and whether it is a refusal."""
    choices = answer.get("choices")
    choice = choices[-1] if choices else None
    if type(choice) is not dict:
        return "", False
    message = choice.get("message")
    return choice.get("finish_reason"), type(message) is dict and bool(message.get("refusal"))


def _messages(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in answer.get("choices") or ():
        if type(choice) is dict and type(choice.get("message")) is dict:
            yield choice["message"]


def _contents(answer: dict[str, Any]) -> list[str]:
    texts = [message.get("content") for message in _messages(answer)]
    return [text for text in texts if type(text) is str]


def _arguments(answer: dict[str, Any]) -> list[str]:
    calls = [call for message in _messages(answer) for call in _listed(message.get("tool_calls"))]
    functions = [call.get("function") for call in calls if type(call) is dict]
    texts = [function.get("arguments") for function in functions if type(function) is dict]
    # No arguments at all are those of a function that takes none.
    return [text for text in texts if type(text) is str and text]


def _listed(value: Any) -> list[Any]:
    return value if type(value) is list else []
