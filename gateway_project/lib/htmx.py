"""The answers that a page gives to htmx and to a browser without it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asked. (The tests' RequestFactory and error pages may lack the middleware.)"""
    return bool(getattr(request, "htmx", False))


def render_part(
    request: HttpRequest, template: str, part: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """The page `template`, or only its partial `part` when htmx asked for it."""
    name = f"{template}#{part}" if is_htmx(request) else template
    response = render(request, name, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def go_to(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser on after a form did its work."""
    if is_htmx(request):
        return HttpResponseClientRedirect(url)
    return HttpResponse(status=303, headers={"Location": url})


def toast(response: HttpResponse, message: str, level: str = "success") -> HttpResponse:
    """Have the page that htmx asked from show `message`; `level` is `success` or `error`."""
    return trigger_client_event(response, "toast", {"message": message, "level": level})


def say_and_go(request: HttpRequest, message: str, url: str, *, warn: bool = False) -> HttpResponse:
    """Go to `url` and show `message` there; with `warn`, as something to look at."""
    messages.add_message(request, messages.WARNING if warn else messages.SUCCESS, message)
    return go_to(request, url)
