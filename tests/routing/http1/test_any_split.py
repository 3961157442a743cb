"""However TCP cuts an answer, it is the same answer; and however bytes are broken, they break nothing here."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from routing.http1 import HttpError, Response
from routing.http1.connection import Connection
from routing.http1.request import Origin
from tests.routing.http1.server import PATIENT, body_of, pool


class Memory(asyncio.Transport):
    """A transport to nowhere, so that a test says what arrives together."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.protocol = protocol
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """It is sent at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close
    pause_reading = resume_reading = lambda self: None


def framed_by_length(parts: list[bytes]) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % sum(map(len, parts)) + b"".join(parts)


def framed_by_chunks(parts: list[bytes]) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def framed_oddly(parts: list[bytes]) -> bytes:
    chunks = b"".join(b'000%X;name="a;b"\r\n%b\r\n' % (len(part), part) for part in parts if part)
    return b"Transfer-Encoding: Chunked\r\n\r\n" + chunks + b"00;x\r\nX-Trailer: 1\r\n\r\n"


bodies = st.lists(st.binary(max_size=40) | st.just(b"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), max_size=6)
framings = st.sampled_from([framed_by_length, framed_by_chunks, framed_oddly])
cuts = st.lists(st.integers(0, 500), max_size=30) | st.just(list(range(500)))
changes_of_a_byte = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=3)
before = st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n"])


def pieces(said: bytes, at: list[int]) -> list[bytes]:
    bounds = [0, *sorted({min(cut, len(said)) for cut in at}), len(said)]
    return [said[start:end] for start, end in itertools.pairwise(bounds) if start < end]


async def asked(connection: Connection, said: list[bytes], *, lost: bool = False) -> Response:
    """The answer to a request on `connection`, to which `said` arrives before it is `lost`."""
    loop = asyncio.get_running_loop()
    asking = asyncio.ensure_future(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b"", PATIENT, loop.time() + 5))
    await asyncio.sleep(0)
    for part in said:
        if not connection.transport.is_closing():
            connection.data_received(part)
    if lost:
        connection.connection_lost(None)
    return await asking


def connected() -> Connection:
    connection = Connection(asyncio.get_running_loop(), pool(), Origin(False, "localhost", 80))
    connection.connection_made(Memory(connection))
    return connection


@given(st.lists(st.tuples(bodies, framings, cuts, before), min_size=1, max_size=3))
async def test_any_split_of_an_answer_is_the_same_answer(
    answers: list[tuple[list[bytes], Callable[[list[bytes]], bytes], list[int], bytes]],
) -> None:
    connection = connected()
    for parts, framing, at, first in answers:
        said = first + b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + framing(parts)
        response = await asked(connection, pieces(said, at))
        assert (response.status, response.header(b"content-type")) == (200, "text/plain")
        assert await body_of(response) == b"".join(parts)
        assert response.complete
        assert connection.usable
    connection.connection_lost(None)


@given(
    bodies,
    framings,
    cuts,
    before,
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=3),
)
async def test_no_broken_bytes_do_harm(
    parts: list[bytes],
    framing: Callable[[list[bytes]], bytes],
    at: list[int],
    first: bytes,
    changes: list[tuple[int, int]],
) -> None:
    connection = connected()
    said = bytearray(first + b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + framing(parts))
    for where, value in changes:
        said[where % len(said)] = value
    with contextlib.suppress(HttpError):
        response = await asked(connection, pieces(bytes(said), at), lost=True)
        assert len(await body_of(response)) <= 1_000_000
