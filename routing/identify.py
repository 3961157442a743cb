"""Who is calling: the gateway key of a request, checked without touching the database."""

import asyncio
import time

from django.conf import settings

from gateway_project.lib.errors import ApiError, InvalidApiKey, PermissionDenied
from keys import tokens
from routing.snapshot import Caller, Snapshot

# Seconds. A process that was just started reads its keys in less than one, unless the database is away.
ANNOUNCED_WITHIN, READY_WITHIN = 0.25, 3.0


class NotReady(ApiError):
    status, code = 503, "not_ready"


class UnknownKey(InvalidApiKey):
    pass


async def identified(headers: dict[bytes, bytes], snapshot: Snapshot, *, scope: str) -> Caller:
    """As `identify`, with a moment's patience: while this process has not read any key yet, and, where other processes
    create keys, for one that is not known yet to be announced.
    """
    try:
        return identify(headers, snapshot, scope=scope)
    except NotReady:
        patience = READY_WITHIN
    except UnknownKey:
        if not settings.SEVERAL_PROCESSES:
            raise
        patience = ANNOUNCED_WITHIN
    deadline = time.monotonic() + patience
    while True:
        await asyncio.sleep(ANNOUNCED_WITHIN / 10)
        try:
            return identify(headers, snapshot, scope=scope)
        except (NotReady, UnknownKey):
            if time.monotonic() >= deadline:
                raise


def identify(headers: dict[bytes, bytes], snapshot: Snapshot, *, scope: str) -> Caller:
    """The caller whose key `headers` carry, as `Authorization: Bearer …` or `x-api-key`.

    Raises `InvalidApiKey` (missing, malformed, unknown, expired, revoked, or two different ones), and
    `PermissionDenied` when the key lacks `scope`.
    """
    secret = _presented(headers)
    # Before that the digest's key is not read either.
    ready = snapshot.ready.is_set()
    found = snapshot.caller(tokens.digest(secret)) if ready and len(secret) == tokens.LENGTH else None
    if found is None:
        raise _refusal(secret, ready=ready)
    caller, secret_expires = found
    if caller.revoked:
        raise InvalidApiKey("This gateway key was revoked.")
    if caller.expires_at is not None and caller.expires_at <= time.time():
        raise InvalidApiKey("This gateway key has expired.")
    if secret_expires is not None and secret_expires <= time.time():
        raise InvalidApiKey("This gateway key was rotated; its old secret has expired.")
    if scope not in caller.scopes:
        raise PermissionDenied(f"This gateway key may not do this: it lacks the scope '{scope}'.")
    return caller


def _refusal(secret: str, *, ready: bool) -> ApiError:
    """What is wrong with `secret`, or with the time."""
    if not tokens.is_well_formed(secret):
        return InvalidApiKey("This is not a gateway key: one begins with 'gw_' and its checksum is right.")
    if not ready:
        return NotReady("The gateway is starting; its database has not answered yet.", headers={"retry-after": "1"})
    return UnknownKey("There is no such gateway key.")


def _presented(headers: dict[bytes, bytes]) -> str:
    bearer = api_key = ""
    if authorization := headers.get(b"authorization"):
        scheme, _, credentials = authorization.decode("latin-1").partition(" ")
        bearer = credentials.strip()
        if not bearer or scheme.lower() != "bearer":
            raise InvalidApiKey("Authorization: must be 'Bearer ' and a gateway key.", param="authorization")
    if given := headers.get(b"x-api-key"):
        api_key = given.decode("latin-1").strip()
        if bearer and api_key and bearer != api_key:
            raise InvalidApiKey("Authorization and x-api-key carry two different keys; send one.", param="x-api-key")
    if not bearer and not api_key:
        raise InvalidApiKey("Send a gateway key as 'Authorization: Bearer gw_…' or 'x-api-key: gw_…'.")
    return bearer or api_key
