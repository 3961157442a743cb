"""Whose fault it is that an attempt failed, and what follows from that for the request and for the target."""

from enum import Enum
from typing import Any

import orjson

from gateway_project.lib.errors import ApiError
from routing.flight import Flight
from routing.health import credential
from routing.providers.base import Failure, Target, UpstreamError

# An upstream's 4xx that says something about the request itself. 401, 402, 403 are the operator's to mend, 408 and
# 429 pass; 404 is the client's fault only when the client named the model.
CLIENT_FAULTS = frozenset({400, 409, 411, 413, 414, 415, 416, 422, 424, 431, 451})
RETRIED_STATUS = frozenset({408, 429})
RETRIED_FAILURES = frozenset({Failure.CONNECT, Failure.CONNECT_TIMEOUT, Failure.DROPPED})
TOO_SLOW = frozenset({Failure.CONNECT_TIMEOUT, Failure.TIMEOUT})
# What providers say with a 403 that means this prompt, not this secret: else a client's words could close a target
# to everybody until the operator enters another secret.
_MODERATION = frozenset({"flagged_input", "moderation", "content_policy_violation", "content_filter"})
# Of a provider's words, what is told of an open breaker.
SHOWN = 160


class Blame(Enum):
    """What an attempt's failure says about its target."""

    REQUEST = "nothing: the request was at fault"
    LIMIT = "it limits our rate"
    CREDENTIAL = "it refuses our secret"
    PROVIDER = "it failed"


class UpstreamRefused(ApiError):
    """An upstream's 4xx that is the client's fault: passed on with its status and message."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(error.message)
        shape = _error_object(error.body)
        self.status = error.status or 400
        self.type = shape.get("type", "invalid_request_error")
        self.code = shape.get("code", "invalid_request_error")
        self.param = shape.get("param")


def _error_object(body: bytes) -> dict[str, Any]:
    """The strings in an error's `error` object."""
    return {key: value for key, value in _error(body).items() if type(value) is str and len(value) <= 300}


def _error(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = found.get("error") if type(found) is dict else None
    return error if type(error) is dict else {}


def is_clients(error: UpstreamError, *, named: bool) -> bool:
    """Whether the client is to be told what the upstream said. `named`: the client named the model."""
    if error.failure is not Failure.STATUS:
        return False
    if error.status == 404:
        return named and bool(_error_object(error.body))
    return error.status in CLIENT_FAULTS


def is_passing(error: UpstreamError) -> bool:
    """Whether the same target may answer when it is asked again."""
    if error.failure is not Failure.STATUS or error.status is None:
        return error.failure in RETRIED_FAILURES
    return error.status in RETRIED_STATUS or (error.status >= 500 and error.status != 501)


def blame(error: UpstreamError, *, named: bool) -> Blame:
    """Whose fault `error` is."""
    status = error.status if error.failure is Failure.STATUS else None
    if error.failure is Failure.UNSUPPORTED or status == 501 or is_clients(error, named=named):
        return Blame.REQUEST
    if status == 429:
        return Blame.LIMIT
    if status == 403 and error.body.lstrip()[:1] == b"<":
        # A page: a firewall's before the provider, which may not like this prompt, and knows nothing of secrets.
        return Blame.PROVIDER
    if status == 401 or status == 403:
        return Blame.REQUEST if _is_moderation(error.body) else Blame.CREDENTIAL
    return Blame.PROVIDER


def report(flight: Flight, target: Target, error: UpstreamError, *, named: bool) -> None:
    """Tell the health of `target` what became of an attempt that failed."""
    said = error.message[:SHOWN]
    match blame(error, named=named):
        case Blame.REQUEST:
            flight.refused()
        case Blame.LIMIT:
            flight.limited(f"it limits our rate: {said}", error.retry_after)
        case Blame.CREDENTIAL:
            reason = f"it refuses our secret (HTTP {error.status}: {said}); set another one"
            flight.denied(credential(target.secret, target.base_url), reason)
        case Blame.PROVIDER:
            flight.failed(said, retry_after=error.retry_after, too_slow=error.failure in TOO_SLOW)


def _is_moderation(body: bytes) -> bool:
    error = _error(body)
    details = error.get("metadata")
    words = {str(error.get("code")), str(error.get("type")), *(details if type(details) is dict else ())}
    return not _MODERATION.isdisjoint(words)
