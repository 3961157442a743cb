"""What a request that no view answered gets: a page for a browser, the contract's JSON for a client of the API."""

import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware

from gateway_project.lib.errors import (
    ApiError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
)

logger = logging.getLogger(__name__)

API_PATHS = ("/api/", "/v1/", "/documents", "/chat", "/search")


def _answer(request: HttpRequest, error: ApiError, title: str, text: str) -> HttpResponseBase:
    preferred = request.get_preferred_type(["text/html", "application/json"])
    if request.path.startswith(API_PATHS) or preferred == "application/json":
        return JsonResponse(error.body(), status=error.status)
    if request.headers.get("HX-Request"):
        return HttpResponse(text, status=error.status, content_type="text/plain; charset=utf-8")
    context = {"status": error.status, "error_title": title, "error_text": text}
    return render(request, "gateway/error.html", context, status=error.status)


@sync_and_async_middleware
def method_not_allowed(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: django-ninja says in plain text that a path of the API does not take a method."""

    def translated(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.status_code != 405 or not request.path.startswith(API_PATHS):
            return response
        methods = ", ".join(sorted(response.headers["Allow"].split(", ")))
        error = MethodNotAllowed(f"{request.path} takes {methods}, not {request.method}.")
        return JsonResponse(error.body(), status=405, headers={"Allow": methods})

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return translated(request, await get_response(request))

        return markcoroutinefunction(answer_async)

    def answer(request: HttpRequest) -> HttpResponseBase:
        return translated(request, get_response(request))

    return answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if isinstance(exception, DisallowedHost):
        text = _unknown_host(request)
        logger.info("refused a request: %s", text)
        return _answer(request, InvalidRequest(text, param="host"), "Another host", text)
    text = "The gateway could not make sense of this request."
    return _answer(request, InvalidRequest(text), "Bad request", text)


def _unknown_host(request: HttpRequest) -> str:
    """What is wrong with the request's `Host`, and which variable allows it."""
    host = request.META.get("HTTP_HOST", "")
    domain, _ = split_domain_port(host)
    if not domain:
        return "The Host header of this request is no host name."
    if settings.ENV.public_url:
        return f"This gateway is at {settings.PUBLIC_URL}, not at {host}. Its operator says where with PUBLIC_URL."
    return (
        f"This gateway does not answer to the name {domain}. "
        f"Its operator allows it with PUBLIC_URL={request.scheme}://{host} in the environment or in .env."
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    text = str(exception) or "Your role in this workspace does not allow that."
    return _answer(request, PermissionDenied(text), "Not allowed", text)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """The form was older than the session, or came from another site."""
    text = "This page was open for too long. Go back, reload it and try again."
    return _answer(request, PermissionDenied(text), "The form has expired", text)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    text = "There is nothing at this address, or it belongs to a workspace you are not in."
    return _answer(request, NotFound(f"There is nothing at {request.path}."), "Not found", text)


def server_error(request: HttpRequest) -> HttpResponseBase:
    text = "The gateway failed on this request. The error was logged; trying again may help."
    return _answer(request, InternalError(text), "Something went wrong", text)
