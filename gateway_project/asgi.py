"""The ASGI application: what gateway keys call behind the hop-free handler, everything else behind Django's own."""

import os
from io import BytesIO
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

import django

django.setup()

from channels.db import database_sync_to_async
from channels.routing import ProtocolTypeRouter
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest

from accounts.auth import is_signed_in
from gateway_project.lib import redis_link
from gateway_project.lib.wire import Receive, Send, bounded
from gateway_project.v1 import V1Handler, serves
from routing import http1, runtime

runtime.start()

_v1 = V1Handler()
_stock: Any = get_asgi_application()


# Where people upload files: libraries, in the console and by the API.
UPLOADS = ("/api/libraries/", "/console/libraries/")
# Bytes of such a form beside its files.
FORM_BYTES = 1024 * 1024


async def _everything_else(scope: Any, receive: Receive, send: Send) -> None:
    """Django's stock handler, which would write a body of any length to disk before a view is asked about it."""
    await _stock(scope, bounded(receive, await _longest(scope)), send)


async def _longest(scope: Any) -> int:
    """Bytes that a request's body may have. Only somebody who is signed in may send a file of some size."""
    if scope["method"] == "POST" and scope["path"].startswith(UPLOADS):
        request = ASGIRequest(scope, BytesIO())
        if request.content_type == "multipart/form-data" and not _is_short(request) and await _is_signed_in(request):
            return settings.MAX_UPLOAD_BYTES + FORM_BYTES
    return settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _is_short(request: ASGIRequest) -> bool:
    """Whether its body says that it is no longer than anybody's may be: then nobody need be asked who sends it."""
    length = request.META.get("CONTENT_LENGTH", "")
    return length.isdecimal() and int(length) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE


_is_signed_in = database_sync_to_async(is_signed_in, thread_sensitive=False)


PREFLIGHT = b"access-control-request-method"


def _is_preflight(scope: Any) -> bool:
    """Whether a browser asks if it may ask; the stock handler's middleware answers that."""
    return scope["method"] == "OPTIONS" and any(name == PREFLIGHT for name, _ in scope["headers"])


async def websocket(scope: Any, receive: Receive, send: Send) -> None:
    """There is no WebSocket endpoint yet, so each is refused."""
    await WebsocketDenier.as_asgi()(scope, receive, send)


async def lifespan(scope: Any, receive: Receive, send: Send) -> None:
    """The server starts, and stops; daphne says neither, and its process's end closes what is open."""
    await receive()
    if redis_link.current is not None:
        redis_link.current.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await http1.close_pools()
    if redis_link.current is not None:
        await redis_link.current.close()
    await send({"type": "lifespan.shutdown.complete"})


_others = ProtocolTypeRouter({"http": _everything_else, "websocket": websocket, "lifespan": lifespan})


async def application(scope: Any, receive: Receive, send: Send) -> None:
    """Choose the handler, by path."""
    if scope["type"] == "http" and serves(scope["path"]) and not _is_preflight(scope):
        await _v1(scope, receive, send)
    else:
        await _others(scope, receive, send)
