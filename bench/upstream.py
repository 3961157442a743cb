"""A fake OpenAI upstream that costs next to nothing: answers made beforehand, over a bare protocol on uvloop.

`python -m bench.upstream PORT` serves until it is stopped. It keeps connections alive, takes pipelined requests, and
answers in order. A request's model decides what comes: see `bench.wire`.
"""

import asyncio
import gc
import re
import sys
from collections.abc import Sequence
from typing import cast

import orjson
import uvloop

from bench import wire

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_MODEL = re.compile(rb'"model": ?"([^"]+)"')
_STREAMED = re.compile(rb'"stream": ?true')
_WHOLE = {model.encode() for model in (*wire.CANDIDATES, wire.AUTO)}
_STREAMS = {kind.model.encode(): name for name, kind in wire.KINDS.items() if kind.stream}
_COMMON = b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: bench\r\nx-request-id: req_bench\r\n"


def _whole(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status, _COMMON, len(body), body,
    )  # fmt: skip


def _http_chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\n%bcontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n" % _COMMON
)
_STREAM_END = b"0\r\n\r\n"

_CHAT = _whole(b"200 OK", wire.completion(wire.KINDS["chat"].model))
_MODELS = _whole(
    b"200 OK",
    orjson.dumps(
        {
            "object": "list",
            "data": [{"id": model, "object": "model", "created": 1} for model in wire.CANDIDATES],
        }
    ),
)
_NOT_UNDERSTOOD = _whole(b"400 Bad Request", b'{"error":{"message":"not a request of the benchmark"}}')


def _burst(usage: bool) -> bytes:
    chunks = [_http_chunk(event) for event in wire.events(wire.KINDS["burst"].model, usage=usage)]
    return _STREAM_HEAD + b"".join(chunks) + _STREAM_END


def _paced(usage: bool) -> tuple[bytes, ...]:
    """What each write of a paced stream holds; the last one ends it with its chunk, the usage and `[DONE]`."""
    chunks = [_http_chunk(event) for event in wire.events(wire.KINDS["paced"].model, usage=usage)]
    first, last = wire.CHUNKS - 1, b"".join(chunks[wire.CHUNKS - 1 :]) + _STREAM_END
    return (_STREAM_HEAD + chunks[0], *chunks[1:first], last)


# Keyed by whether the request asks for usage.
_BURSTS = {usage: _burst(usage) for usage in (False, True)}
_PACED = {usage: _paced(usage) for usage in (False, True)}


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        while data and self._timer is None:
            head_end = data.find(b"\r\n\r\n") + 4
            if head_end < 4:
                break
            length = _LENGTH.search(data, 0, head_end)
            end = head_end + (int(length[1]) if length else 0)
            if len(data) < end:
                break
            self._answer(data[:end], head_end)
            data = data[end:]
        self._rest = data

    def _answer(self, request: bytes, body_start: int) -> None:
        model = _MODEL.search(request, body_start)
        streamed = model is not None and _STREAMED.search(request, body_start) is not None
        kind = _STREAMS.get(model[1]) if model and streamed else None
        if model is not None and not streamed and model[1] in _WHOLE:
            self._transport.write(_CHAT)
        elif kind == "burst":
            self._transport.write(_BURSTS[b'"include_usage"' in request])
        elif kind == "paced":
            self._pace(_PACED[b'"include_usage"' in request], 0, self._loop.time())
        elif request.startswith(b"GET /"):
            self._transport.write(_MODELS)
        else:
            self._transport.write(_NOT_UNDERSTOOD)

    def _pace(self, parts: Sequence[bytes], index: int, due: float) -> None:
        """Write the part that is due and wait for the next one's time; a late part makes the next ones no later."""
        self._transport.write(parts[index])
        index, due = index + 1, due + wire.PACE
        if index < len(parts):
            self._timer = self._loop.call_at(due, self._pace, parts, index, due)
            return
        self._timer = None
        if self._rest:
            self.data_received(b"")


async def serve(port: int) -> None:
    """Serve on the loopback interface until the task is cancelled."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    gc.disable()
    uvloop.run(serve(int(sys.argv[1])))
