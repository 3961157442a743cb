"""The limit that every ratio refers to: a bare ASGI app that passes bytes through aiohttp's client.

`python -m bench.passthrough PORT UPSTREAM_PORT`. It knows no keys, reads no body, keeps no record, and leaves out
what can be left out: redirects, cookies, proxies, timeouts, decompression, and all headers but the content type.
"""

import gc
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn
from multidict import CIMultiDict
from yarl import URL

Message = MutableMapping[str, Any]


class PassThrough:
    """The app. Its session is made on the first request, when there is a loop to make it on."""

    def __init__(self, upstream: str) -> None:
        self._url = URL(upstream)
        self._headers = CIMultiDict({"Content-Type": "application/json", "Authorization": "Bearer bench"})
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            auto_decompress=False,
            read_bufsize=2**18,
        )
        return self._session

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        message = await receive()
        body: bytes = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        session = self._session or self._open()
        response = await session.post(self._url, data=body, headers=self._headers, allow_redirects=False)
        headers = [(b"content-type", response.headers["Content-Type"].encode())]
        length = response.content_length
        if length is not None:
            body = await response.content.readexactly(length)
            headers.append((b"content-length", b"%d" % length))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        # Whatever has come since the last read, in one piece; empty at the end.
        read = response.content.readany
        while block := await read():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def main(port: int, upstream_port: int) -> None:
    app = PassThrough(f"http://127.0.0.1:{upstream_port}/v1/chat/completions")
    gc.freeze()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
