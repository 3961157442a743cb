"""Answers in every framing, and what is none."""

import asyncio
import socket
import struct

import pytest

from routing.http1 import Dropped, NotHttp, Pool
from tests.routing.http1.server import CHUNKED, HEAD, ask, body_of, body_said, saying, serving

ANSWERS = {
    "a length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "chunks": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "chunks with extensions and trailers": CHUNKED
    + b"5;a=b;c\r\nhello\r\n0;d\r\nX-Trailer: 1\r\nConnection: close\r\n\r\n",
    "chunk sizes with spaces": CHUNKED + b"5  \r\nhello\r\n0\r\n\r\n",
    "until it closes": HEAD + b"\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "lines without CR": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "informational answers first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    + HEAD + b"Content-Length: 5\r\n\r\nhello",
    "empty lines first": b"\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello",
    "identity": HEAD + b"Content-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_body(client: Pool, name: str, size: int) -> None:
    said = ANSWERS[name]
    parts = [said[at : at + size] for at in range(0, len(said), size)]
    assert await body_said(client, *parts) == b"hello"


@pytest.mark.parametrize(
    "end", [b"Content-Length: 6\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"]
)
async def test_a_body_that_is_cut_is_no_body(client: Pool, end: bytes) -> None:
    with pytest.raises(Dropped, match="during the answer"):
        await body_said(client, HEAD + end)


async def test_what_came_before_a_break_is_read_before_the_break_is_told(client: Pool) -> None:
    async with serving(saying(CHUNKED + b"5\r\nhello\r\n")) as server:
        response = await ask(client, server)
        await asyncio.sleep(0.1)
        assert await response.read() == b"hello"
        with pytest.raises(Dropped):
            await response.read()


async def test_a_body_that_lasts_until_its_connection_breaks_is_no_body(client: Pool) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"\r\nhel")
        await asyncio.sleep(0.05)
        # So that it is reset, not closed.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serving(reset) as server:
        with pytest.raises(Dropped):
            await body_of(await ask(client, server))


async def test_headers_are_known_by_their_names_in_lower_case(client: Pool) -> None:
    async with serving(saying(b"HTTP/1.1 429 Slow Down\r\nRETRY-after: 5 \r\nContent-Length: 0\r\n\r\n")) as server:
        response = await ask(client, server)
    assert (response.status, response.header(b"retry-after"), response.header(b"x-none")) == (429, "5", "")
    assert await body_of(response) == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_whatever_it_says(client: Pool, status: int) -> None:
    said = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status
    assert await body_said(client, said, close=False) == b""


async def test_what_arrives_together_is_one_block(client: Pool) -> None:
    said = CHUNKED + b"5\r\nhello\r\n" * 100 + b"0\r\n\r\n"
    async with serving(saying(said)) as server:
        response = await ask(client, server)
        await asyncio.sleep(0.1)
        assert await response.read() == b"hello" * 100
        assert response.complete


JUNK = {
    "a banner": b"SSH-2.0-OpenSSH_9.9\r\n",
    "a page": b"<!doctype html>",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status too low": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length too long": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "an unknown transfer coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nx",
    "chunks that are not the last coding": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\nx",
    "a folded header": HEAD + b"A: b\r\n c\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "a control character in a header": HEAD + b"A: \x01\r\n\r\n",
    "NUL in a header": HEAD + b"A: \0\r\n\r\n",
    "a chunk of no size": CHUNKED + b"\r\n",
    "a chunk of a strange size": CHUNKED + b"0x5\r\nhello\r\n",
    "a negative chunk": CHUNKED + b"-5\r\n",
    "a chunk too long": CHUNKED + b"fffffffffffffffff\r\n",
    "a chunk that does not end": CHUNKED + b"5\r\nhelloworld",
    "a head that does not end": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 300_000,
    "a long head": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(20_000)),
    "informational answers without end": b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" * 20_000,
    "empty lines without end": b"\r\n" * 100_000,
    "trailers without end": CHUNKED + b"0\r\n" + b"a: b\r\n" * 100_000,
    "one trailer without end": CHUNKED + b"0\r\na: " + b"x" * 300_000,
    "a trailer that frames": CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n",
    "an extension without end": CHUNKED + b"5;" + b"x" * 300_000,
    "an unknown content coding": HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    "stacked content codings": HEAD + b"Content-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\nx",
    "gzip that is none": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
}  # fmt: skip


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.parametrize("size", [1000, 1_000_000])
async def test_junk_is_refused_and_never_waited_for(client: Pool, name: str, size: int) -> None:
    said = JUNK[name]
    parts = [said[at : at + size] for at in range(0, len(said), size)]
    with pytest.raises(NotHttp):
        await asyncio.wait_for(body_said(client, *parts, close=False), 3)
