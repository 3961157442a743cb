"""Middleware: an id for every request that Django's stock handler serves; `/v1` mints its own in routing/http.py."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from gateway_project.lib.ids import uuid7_text
from gateway_project.lib.request_id import request_id

HEADER = "x-request-id"

Respond = Callable[[HttpRequest], HttpResponseBase]


@sync_and_async_middleware
def assign_request_id(get_response: Respond) -> Callable[..., object]:
    """The id is minted here, stands in every line logged meanwhile and in the answer's header."""
    if iscoroutinefunction(get_response):
        respond = cast(Callable[[HttpRequest], Awaitable[HttpResponseBase]], get_response)

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            token = request_id.set(uuid7_text())
            try:
                return _named(await respond(request))
            finally:
                request_id.reset(token)

        markcoroutinefunction(answer_async)
        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        token = request_id.set(uuid7_text())
        try:
            return _named(get_response(request))
        finally:
            request_id.reset(token)

    return answer


def _named(response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault(HEADER, request_id.get())
    return response
