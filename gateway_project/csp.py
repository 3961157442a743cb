"""The Content-Security-Policy of every answer. Scripts and styles come from files of this origin, never inline."""

from collections.abc import Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
HEADER = "Content-Security-Policy"


def policy(**changes: str) -> str:
    """The header's value; `changes` replace or add directives (`style_src="'self' 'unsafe-inline'"`)."""
    directives = POLICY | {name.replace("_", "-"): value for name, value in changes.items()}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


STRICT = policy()


def _apply(response: HttpResponseBase) -> HttpResponseBase:
    # Django's own error pages for developers are one file with inline style and script.
    if not (settings.DEBUG and response.status_code in (404, 500)):
        response.headers.setdefault(HEADER, STRICT)
    return response


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., object]:
    """Middleware; a view that needs another policy (the API's documentation) sets the header itself."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return _apply(await get_response(request))

        markcoroutinefunction(answer_async)
        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _apply(get_response(request))

    return answer
