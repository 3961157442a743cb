"""A client on a bare socket, and the record of a request whose answer never came."""

import socket
import struct
import time
from typing import Any

import httpx
import orjson

from tests.gateway.scene import CHAT, Scene


class RawClient:
    """A client on a bare socket, so that it leaves exactly when and how a test says."""

    def __init__(self, scene: Scene, *, receive_buffer: int = 0, **fields: Any) -> None:
        body = orjson.dumps(scene.body(**fields))
        url = httpx.URL(scene.url)
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((url.host, url.port or 80))
        self.socket.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: {url.host}\r\nauthorization: Bearer {scene.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.received = b""

    def read(self, most: int) -> None:
        part = self.socket.recv(most)
        assert part, self.received[-2000:]
        self.received += part

    def read_until(self, mark: bytes) -> None:
        while mark not in self.received:
            self.read(65536)

    def read_to_end(self) -> None:
        """Everything until the gateway closes the connection."""
        while part := self.socket.recv(65536):
            self.received += part

    def leave(self, *, reset: bool = False) -> None:
        """Close the connection; `reset` as a process that dies with unread data does."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def newest(scene: Scene, within: float = 8) -> dict[str, Any]:
    """The ledger's record of the last request to the scene's model: an answer that never came has no id to look for."""
    end = time.monotonic() + within
    while True:
        rows = [row for row in scene.account.requests(limit=20) if row["model"] == scene.model]
        if rows:
            return scene.account.record(rows[0]["id"])
        assert time.monotonic() < end, f"no record of {scene.model} after {within} s"
        time.sleep(0.05)
