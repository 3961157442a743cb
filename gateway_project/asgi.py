"""The ASGI application: `/v1` behind the hop-free handler, everything else behind Django's own."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

import django

django.setup()

from channels.routing import ProtocolTypeRouter
from channels.security.websocket import WebsocketDenier
from django.core.asgi import get_asgi_application

from gateway_project.lib.wire import Receive, Send
from gateway_project.v1 import V1Handler
from routing import runtime

runtime.start()

_v1 = V1Handler()
_everything_else = get_asgi_application()


async def http(scope: Any, receive: Receive, send: Send) -> None:
    """Choose the handler by path; a browser's preflight is answered by the middleware of the stock one."""
    hop_free = scope["path"].startswith("/v1/") and scope["method"] != "OPTIONS"
    handler = _v1 if hop_free else _everything_else
    await handler(scope, receive, send)


async def websocket(scope: Any, receive: Receive, send: Send) -> None:
    """There is no WebSocket endpoint yet, so each is refused."""
    await WebsocketDenier.as_asgi()(scope, receive, send)


application = ProtocolTypeRouter({"http": http, "websocket": websocket})
