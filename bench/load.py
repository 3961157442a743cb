"""The load: keep-alive clients over bare protocols, in a process of their own.

The benchmark starts it with a `Plan`, it opens its connections and says `ready`, waits for a line, sends its
requests, and answers with an `Outcome`. Every answer is checked to be whole; a request counts as failed otherwise.
"""

import asyncio
import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import orjson
import uvloop

from bench import wire

# Seconds after which a request that is not answered counts as failed.
TIMEOUT = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)\r\n", re.IGNORECASE)
_MARK = wire.ANSWER.encode()


@dataclass(frozen=True, slots=True)
class Plan:
    """How many requests of one kind to send where, by how many clients at a time."""

    port: int
    kind: str
    model: str
    clients: int
    requests: int
    key: str = "bench"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan. Latencies, in seconds and sorted, run from a request's first byte to its answer's last."""

    seconds: float
    answered: int
    latencies: list[float] = field(repr=False)
    request_ids: list[str] = field(repr=False)
    # Why requests failed, the first few.
    failures: list[str]
    failed: int

    def percentile(self, share: float) -> float:
        """The latency, in seconds, that `share` of the answered requests did not exceed."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def unchunked(body: bytes) -> bytes:
    """The content of a body in HTTP/1.1's chunked coding. Raises `ValueError` when it is none."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end], 16)
        at = line_end + 2
        if not size:
            return b"".join(parts)
        parts.append(body[at : at + size])
        at += size + 2


def flaw(kind: wire.Kind, status: int, body: bytes) -> str:
    """What is wrong with an answer; empty when it is what the upstream said, and whole."""
    if status != 200:
        return f"status {status}: {body[:300].decode(errors='replace')}"
    if not kind.stream:
        return "" if _MARK in body and b'"usage"' in body else f"not the upstream's answer: {body[:300]!r}"
    if not body.endswith(b"data: [DONE]\n\n"):
        return f"the stream broke off: …{body[-100:]!r}"
    chunks = body.count(b'"delta"')
    return "" if chunks == wire.CHUNKS else f"{chunks} chunks instead of {wire.CHUNKS}"


class Run:
    """One plan's progress, shared by its clients."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kind = wire.KINDS[plan.kind]
        body = self.kind.body(plan.model)
        self.request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %b\r\n"
            b"accept: application/json\r\nuser-agent: bench\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (plan.port, plan.key.encode(), len(body), body)
        )
        # No two loads begin with the same one.
        self._number = time.time_ns() // 1000
        self._before, mark, self._after = self.request.partition(wire.NUMBER.encode())
        self._varied = bool(mark)
        self.unsent = plan.requests
        self.latencies: list[float] = []
        self.request_ids: list[str] = []
        self.failures: list[str] = []
        self.answered = 0
        self.idle = 0
        self.done = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes:
        """The bytes to send next."""
        self.unsent -= 1
        if not self._varied:
            return self.request
        self._number += 1
        return b"%bno. %016d%b" % (self._before, self._number, self._after)

    def settle(self, latency: float, status: int, head: bytes, body: bytes) -> None:
        """Enter one answer."""
        if wrong := flaw(self.kind, status, body):
            self.failures.append(wrong)
            return
        self.answered += 1
        self.latencies.append(latency)
        if found := _REQUEST_ID.search(head):
            self.request_ids.append(found[1].decode())

    def retire(self) -> None:
        """One client has no more to do."""
        self.idle += 1
        if self.idle == self.plan.clients and not self.done.done():
            self.done.set_result(None)

    def outcome(self, seconds: float) -> Outcome:
        missing = self.plan.requests - self.answered - len(self.failures)
        failures = [*self.failures[:3], *([f"{missing} requests were not answered"] if missing else [])]
        failed = self.plan.requests - self.answered
        return Outcome(seconds, self.answered, sorted(self.latencies), self.request_ids, failures, failed)


class Client(asyncio.Protocol):
    """One keep-alive connection, which has at most one request under way."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._parts: list[bytes] = []
        self._sent_at = 0.0
        self._head = b""
        self._status = 0
        # Bytes of the body still to come; -1 for one in chunked coding.
        self._left = 0
        self._retired = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._retired:
            self._retired = True
            self.run.failures.append(f"the connection was closed: {exc or 'by the server'}")
            self.run.retire()

    def send(self) -> None:
        """Send the next request, or retire when there is none."""
        if not self.run.unsent:
            self._retired = True
            self.run.retire()
            return
        request = self.run.next_request()
        self._head, self._parts = b"", []
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self._head and not (data := self._read_head(data)):
            return
        self._parts.append(data)
        if self._left < 0:
            # The last chunk's five bytes may come in pieces.
            if not (data if len(data) > 4 else b"".join(self._parts[-5:])).endswith(b"\r\n0\r\n\r\n"[2:]):
                return
            body = unchunked(b"".join(self._parts))
        else:
            self._left -= len(data)
            if self._left > 0:
                return
            body = b"".join(self._parts)
        self.run.settle(now - self._sent_at, self._status, self._head, body)
        self.send()

    def _read_head(self, data: bytes) -> bytes:
        """What follows the answer's head in `data`; empty while the head or the body is still to come."""
        data = b"".join(self._parts) + data
        self._parts = []
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._parts.append(data)
            return b""
        self._head = data[:end]
        self._status = int(data[9:12])
        length = _LENGTH.search(data, 0, end)
        self._left = int(length[1]) if length else -1
        return data[end:]


async def drive(plan: Plan) -> Outcome:
    """Connect, say `ready` on standard output, wait for a line on standard input, send everything."""
    loop = asyncio.get_running_loop()
    run = Run(plan)
    pairs = [await loop.create_connection(lambda: Client(run), "127.0.0.1", plan.port) for _ in range(plan.clients)]
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    await loop.run_in_executor(None, sys.stdin.buffer.readline)
    started = time.perf_counter()
    for _transport, client in pairs:
        client.send()
    timer = loop.create_task(_give_up_when_stuck(run))
    await run.done
    timer.cancel()
    return run.outcome(time.perf_counter() - started)


async def _give_up_when_stuck(run: Run) -> None:
    """End a run in which nothing was answered for `TIMEOUT` seconds."""
    before = -1
    while run.answered != before:
        before = run.answered
        await asyncio.sleep(TIMEOUT)
    if not run.done.done():
        run.done.set_result(None)


@contextmanager
def prepared(plan: Plan) -> Iterator["Load"]:
    """A load that is connected and waits to be fired."""
    command = [sys.executable, "-m", "bench.load", orjson.dumps(asdict(plan)).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Load(process)
        finally:
            process.kill()


class Load:
    """A load process that waits for its start."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        if self._stdout.readline() != b"ready\n":
            raise RuntimeError("the load generator could not connect")

    def fire(self) -> Outcome:
        """Send all requests and wait for their answers. Raises `RuntimeError` when the process ends before it told."""
        self._stdin.write(b"\n")
        self._stdin.flush()
        line = self._stdout.readline()
        if not line.endswith(b"\n"):
            status = self._process.wait()  # its end of the pipe is closed
            raise RuntimeError(f"the load generator ended with status {status}, {len(line)} bytes into its outcome")
        result: dict[str, Any] = orjson.loads(line)
        return Outcome(**result)

    def kill(self) -> None:
        self._process.kill()


def tell(line: bytes) -> None:
    """Write `line` to standard output.

    In pieces and past Python's buffer: after a run of uvloop's, one write of hundreds of kilobytes into a pipe was seen
    to end early, once in a hundred times, with neither an error nor a status.
    """
    while line:
        line = line[os.write(sys.stdout.fileno(), line[:65536]) :]


if __name__ == "__main__":
    gc.disable()
    outcome = uvloop.run(drive(Plan(**orjson.loads(sys.argv[1]))))
    tell(orjson.dumps(asdict(outcome)) + b"\n")
