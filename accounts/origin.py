"""From where a change comes: the request that is being answered, for the audit trail."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from accounts.models import AuditEntry, User
from gateway_project.lib.http import client_address
from gateway_project.lib.request_id import request_id

Respond = Callable[[HttpRequest], HttpResponseBase]

# First segments of paths, as the trail calls them.
CHANNELS = {"api": "api", "admin": "admin"}
AGENT_LENGTH = AuditEntry._meta.get_field("user_agent").max_length

_request: ContextVar[HttpRequest | None] = ContextVar("answered_request", default=None)


@dataclass(frozen=True)
class Origin:
    """Where a change comes from; everything "" without a request. `user` is who Django's session names."""

    via: str = ""
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    user: User | None = None


def current() -> Origin:
    """The origin of what is being done now."""
    request = _request.get()
    if request is None:
        return Origin()
    agent = "".join(letter for letter in request.headers.get("user-agent", "") if letter.isprintable())
    user = getattr(request, "user", None)
    return Origin(
        via=CHANNELS.get(request.path.strip("/").partition("/")[0], "console"),
        address=client_address(request),
        user_agent=agent[:AGENT_LENGTH],
        request_id=request_id.get(),
        user=user if isinstance(user, User) else None,
    )


@sync_and_async_middleware
def remember_request(get_response: Respond) -> Callable[..., object]:
    """Middleware: what is done while a request is answered, in whichever thread, is known to come from it."""
    if iscoroutinefunction(get_response):
        respond = cast(Callable[[HttpRequest], Awaitable[HttpResponseBase]], get_response)

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            token = _request.set(request)
            try:
                return await respond(request)
            finally:
                _request.reset(token)

        markcoroutinefunction(answer_async)
        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        token = _request.set(request)
        try:
            return get_response(request)
        finally:
            _request.reset(token)

    return answer
