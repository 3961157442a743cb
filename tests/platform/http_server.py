"""The web server's own protocol around an application of a test's, without the product behind it."""

import contextlib
import socket
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import uvicorn

from gateway_project.http_protocol import BoundedHttp


@contextlib.contextmanager
def serving(app: Any, *, keep_alive: float) -> Iterator[int]:
    """The port at which `app` is served; connections may be idle for `keep_alive` seconds.

    The kernel takes little of an answer that is not read, so that the server has the rest.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedHttp,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=keep_alive,  # type: ignore[arg-type]  # a number of seconds, whole or not
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def read_to_end(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            received += part
    return received
