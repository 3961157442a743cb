"""Reads a request's body: is it one that can be sent on, and what did the client ask of the gateway itself?"""

from typing import Any

import orjson

from gateway_project.lib import bounded_json
from gateway_project.lib.errors import InvalidRequest, RequestTooLarge
from routing.embeddings import reading
from routing.endpoints import Endpoint
from routing.exchange import NO_WISHES, Exchange, Wishes
from routing.grounding.wish import wish

MAX_BODY = 20 * 1024 * 1024
MAX_MODEL = 300
MAX_METADATA = 16
MAX_METADATA_VALUE = 512

# In the order in which people think of them.
CHOICES = {
    "privacy_mode": ("strict", "flexible"),
    "sensitivity": ("public", "internal", "confidential"),
    "task": ("chat", "vision", "ocr"),
    "complexity": ("simple", "moderate", "complex", "expert"),
    "cache": ("on", "off"),
}
# Every member of a body that is the gateway's own.
GATEWAY_FIELDS = frozenset(CHOICES) | {"metadata", "rag"}
HEADER_FIELDS = {b"x-gateway-privacy-mode": "privacy_mode", b"x-gateway-cache": "cache"}


def read_body(exchange: Exchange, raw: bytes, headers: dict[bytes, bytes]) -> None:
    """Fill `exchange` from the request's bytes and headers.

    Raises `InvalidRequest`, naming the field that was wrong, and `RequestTooLarge`. What it leaves in `exchange.body`
    is the client's own request without the gateway's fields; everything unknown stays as it came.
    """
    try:
        body = bounded_json.loads_request(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", param="body") from None
    except bounded_json.TooManyValues as error:
        raise RequestTooLarge(f"The body cannot be taken: {error}.", param="body") from None
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.", param="body")
    if exchange.endpoint.dialect is not None:
        body = exchange.endpoint.dialect.request(body)
    exchange.body, exchange.length = body, len(raw)
    exchange.wishes = _wishes(body, headers)
    if exchange.endpoint.embeds:
        reading.default_model(body)
    exchange.model = _model(body)
    exchange.stream = _boolean(body, "stream")
    _check_content(exchange.endpoint, body)
    if exchange.stream:
        exchange.usage_wanted = _usage_wanted(body)


def _wishes(body: dict[str, Any], headers: dict[bytes, bytes]) -> Wishes:
    """What is asked of the gateway itself; `body` has none of it afterwards."""
    if headers.keys().isdisjoint(HEADER_FIELDS) and GATEWAY_FIELDS.isdisjoint(body):
        return NO_WISHES
    wishes: dict[str, Any] = {}
    for header, field in HEADER_FIELDS.items():
        if header in headers:
            wishes[field] = _chosen(field, headers[header].decode("latin-1").lower(), header.decode())
    _take_fields(wishes, body)
    return Wishes(**wishes) if wishes else NO_WISHES


def _take_fields(wishes: dict[str, Any], body: dict[str, Any]) -> None:
    for field in CHOICES:
        given = body.pop(field, None)
        if given is not None:
            chosen = _chosen(field, given, field)
            # Of a header and a field, the stricter privacy holds; else the field, which is nearer to the request.
            if not (field == "privacy_mode" and wishes.get(field) == "strict"):
                wishes[field] = chosen
    rag = body.pop("rag", None)
    if rag is not None:
        wishes["rag"] = wish(rag)
    metadata = body.pop("metadata", None)
    if metadata is not None:
        wishes["metadata"] = _metadata(metadata)


def _chosen(field: str, given: Any, name: str) -> str:
    if type(given) is not str or given not in CHOICES[field]:
        raise InvalidRequest(f"{name}: must be one of {', '.join(CHOICES[field])}.", param=name)
    return given


def _metadata(given: Any) -> dict[str, str]:
    if type(given) is not dict or not all(type(value) is str for value in given.values()):
        raise InvalidRequest("metadata: must be an object whose values are strings.", param="metadata")
    if len(given) > MAX_METADATA or any(len(k) > 64 or len(v) > MAX_METADATA_VALUE for k, v in given.items()):
        raise InvalidRequest(
            f"metadata: at most {MAX_METADATA} pairs, keys of 64 and values of {MAX_METADATA_VALUE} characters.",
            param="metadata",
        )
    # Postgres keeps no NUL in text.
    return {key.replace("\0", ""): value.replace("\0", "") for key, value in given.items()}


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if type(model) is not str or not model:
        raise InvalidRequest("model: must be a model's name, or 'auto'.", param="model")
    if len(model) > MAX_MODEL:
        raise InvalidRequest(f"model: may be at most {MAX_MODEL} characters long.", param="model")
    if not model.isprintable():
        raise InvalidRequest("model: must have no control characters.", param="model")
    return model


def _boolean(body: dict[str, Any], field: str) -> bool:
    given = body.get(field)
    if given is None:
        return False
    if type(given) is not bool:
        raise InvalidRequest(f"{field}: must be true or false.", param=field)
    return given


def _check_content(endpoint: Endpoint, body: dict[str, Any]) -> None:
    field = endpoint.content
    content = body.get(field)
    if field == "messages":
        if type(content) is not list or not content:
            raise InvalidRequest("messages: must be a list of at least one message.", param="messages")
        for message in content:
            if type(message) is not dict or type(message.get("role")) is not str:
                raise _no_message(content.index(message), message)
    elif endpoint.embeds:
        reading.check(body)
    elif type(content) not in (str, list) or not content:
        raise InvalidRequest(f"{field}: must be a string or a list, and not empty.", param=field)


def _no_message(index: int, given: Any) -> InvalidRequest:
    name = f"messages[{index}]"
    if type(given) is not dict:
        return InvalidRequest(f"{name}: must be an object.", param=name)
    return InvalidRequest(f"{name}.role: must be a string.", param=f"{name}.role")


def _usage_wanted(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if type(options) is not dict:
        raise InvalidRequest("stream_options: must be an object.", param="stream_options")
    return options.get("include_usage") is True
