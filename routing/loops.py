"""A provider may be this gateway itself, by mistake or malice: each request would ask itself, without end.

So every request upstream carries `CDN-Loop` (RFC 8586) with a name that is this installation's own, after those that
it came with, and a request that carries that name is refused.
"""

import functools
from contextvars import ContextVar

from django.utils.crypto import salted_hmac

from gateway_project.lib.errors import InvalidRequest

HEADER = "CDN-Loop"
WIRE_NAME = b"cdn-loop"

# Whom the request that is being served passed on its way; each is served in a context of its own.
_passed: ContextVar[str] = ContextVar("passed", default="")


@functools.cache
def own_name() -> str:
    """This installation's name: the same in each process, and telling nothing."""
    return f"llm-gateway-{salted_hmac('routing.loops', '1', algorithm='sha256').hexdigest()[:16]}"


def check(headers: dict[bytes, bytes]) -> None:
    """Raise `InvalidRequest` when the request with these headers was sent by this gateway itself."""
    given = headers.get(WIRE_NAME)
    if given is None:
        return
    passed = given.decode("latin-1")
    if own_name() in passed:
        raise InvalidRequest("This request came from this gateway itself: one of its providers leads back to it.")
    _passed.set("".join(character for character in passed[:1000] if " " <= character <= "~"))


def header_line() -> bytes:
    """The header that a request upstream carries, as it is sent."""
    passed = _passed.get()
    return b"%b: %b, %b\r\n" % (HEADER.encode(), passed.encode(), own_name().encode()) if passed else _own_line()


@functools.cache
def _own_line() -> bytes:
    return f"{HEADER}: {own_name()}\r\n".encode()
