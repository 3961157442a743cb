"""A provider may be this gateway itself, by mistake or malice: each request would ask itself, without end.

So every request upstream carries `CDN-Loop` (RFC 8586) with a name that is this installation's own, after those that
it came with, and a request that carries that name is refused.
"""

import functools
from contextvars import ContextVar

from django.utils.crypto import salted_hmac

from gateway_project.lib.errors import InvalidRequest

HEADER = "CDN-Loop"
_WIRE_NAME = b"cdn-loop"

# Whom the request that is being served passed on its way; each is served in a context of its own.
_passed: ContextVar[str] = ContextVar("passed", default="")


@functools.cache
def own_name() -> str:
    """This installation's name: the same in each process, and telling nothing."""
    return f"llm-gateway-{salted_hmac('routing.loops', '1', algorithm='sha256').hexdigest()[:16]}"


def check(headers: dict[bytes, bytes]) -> None:
    """Raise `InvalidRequest` when the request with these headers was sent by this gateway itself."""
    given = headers.get(_WIRE_NAME)
    if given is None:
        return
    passed = given.decode("latin-1")
    if own_name() in passed:
        raise InvalidRequest("This request came from this gateway itself: one of its providers leads back to it.")
    _passed.set("".join(character for character in passed[:1000] if " " <= character <= "~"))


def passed() -> str:
    """Whom the request being served passed, for the header of the next one; as a rule nobody."""
    return _passed.get()


def header_value() -> str:
    """What a request upstream carries."""
    return f"{passed()}, {own_name()}" if passed() else own_name()
