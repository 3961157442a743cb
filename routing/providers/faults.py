"""Whose fault it is that an attempt failed, and what follows from that for the request and for the target."""

import re
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
# Nothing was generated. After any other failure the provider may send a bill.
UNBILLED = frozenset({Failure.CONNECT, Failure.CONNECT_TIMEOUT, Failure.STATUS, Failure.UNSUPPORTED, Failure.BUDGET})
TOO_SLOW = frozenset({Failure.CONNECT_TIMEOUT, Failure.TIMEOUT})
# What providers say with a 403 that means this prompt, not this secret: else a client's words could close a target
# to everybody until the operator enters another secret.
_MODERATION = frozenset({"flagged_input", "moderation", "content_policy_violation", "content_filter"})
# And what means this secret: in codes, types and reasons, which no prompt can write, …
_CREDENTIAL = re.compile(
    r"permission_error|authentication_error|invalid_api_key|api_key_|invalid_authentication|insufficient_permissions"
    r"|access_?denied|unsupported_country|account_|consumer_|service_disabled|billing|organization",
    re.IGNORECASE,
)
# … or in so many words.
_OF_KEYS = re.compile(
    r"\bapi[ _-]?keys?\b|\bcredentials?\b|\baccess tokens?\b|\bauthenticat|\bpermission_error\b|\binvalid_api_key\b",
    re.IGNORECASE,
)
# Of a provider's words, what is told of an open breaker.
SHOWN = 160


class Blame(Enum):
    """What an attempt's failure says about its target."""

    REQUEST = "nothing: the request was at fault"
    LIMIT = "it answered 429, too many requests"
    CREDENTIAL = "it does not accept the API key that is set for it"
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
    if status in (401, 403) and _is_moderation(error.body):
        return Blame.REQUEST
    # A 403 may be about this prompt, or come from a firewall before the provider: only one that speaks of the secret
    # closes the target until there is another. After any other one it rests for a moment and is tried again.
    if status == 401 or (status == 403 and _is_about_credential(error)):
        return Blame.CREDENTIAL
    return Blame.PROVIDER


def report(flight: Flight, target: Target, error: UpstreamError, *, named: bool) -> None:
    """Tell the health of `target` what became of an attempt that failed."""
    said = error.message[:SHOWN]
    match blame(error, named=named):
        case Blame.REQUEST:
            flight.refused()
        case Blame.LIMIT:
            flight.limited(f"it answered 429, too many requests: {said}", error.retry_after)
        case Blame.CREDENTIAL:
            told = f"it does not accept the API key that is set for it (HTTP {error.status}: {said})"
            reason = f"{told}; enter another one for this provider"
            flight.denied(credential(target.secret, target.base_url), reason)
        case Blame.PROVIDER:
            flight.failed(said, retry_after=error.retry_after, too_slow=error.failure in TOO_SLOW)


def _is_about_credential(error: UpstreamError) -> bool:
    """Whether a 403 says that the secret is at fault. A page never does: it is a firewall's."""
    said = _error(error.body)
    details = said.get("details")
    reasons = [each.get("reason") for each in details if type(each) is dict] if type(details) is list else []
    identifiers = " ".join(str(each) for each in (said.get("code"), said.get("type"), *reasons) if each)
    return bool(_CREDENTIAL.search(identifiers) or _OF_KEYS.search(error.message))


def _is_moderation(body: bytes) -> bool:
    error = _error(body)
    details = error.get("metadata")
    words = {str(error.get("code")), str(error.get("type")), *(details if type(details) is dict else ())}
    return not _MODERATION.isdisjoint(words)
