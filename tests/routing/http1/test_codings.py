"""Content codings that nobody asked for."""

import asyncio
import gzip
import zlib

import pytest

from routing.http1 import NotHttp, Pool
from tests.routing.http1.server import HEAD, ask, body_said, saying, serving


def deflated(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


def coded(coding: bytes, body: bytes) -> bytes:
    return HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (coding, len(body), body)


CODINGS = {
    "gzip": coded(b"gzip", gzip.compress(b"hello" * 1000)),
    "x-gzip": coded(b" GZIP ", gzip.compress(b"hello" * 1000)),
    "deflate": coded(b"deflate", deflated(b"hello" * 1000, 15)),
    "deflate without zlib's frame": coded(b"deflate", deflated(b"hello" * 1000, -15)),
    "gzip until it closes": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello" * 1000),
}


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("size", [1, 10_000])
async def test_a_content_coding_that_nobody_asked_for_is_undone(client: Pool, name: str, size: int) -> None:
    said = CODINGS[name]
    assert await body_said(client, *(said[at : at + size] for at in range(0, len(said), size))) == b"hello" * 1000


async def test_what_was_flushed_is_read_before_the_end_comes(client: Pool) -> None:
    packer = zlib.compressobj(wbits=31)
    event = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    async with serving(saying(HEAD + b"Content-Encoding: gzip\r\n\r\n" + event, close=False)) as server:
        response = await ask(client, server)
        assert await asyncio.wait_for(response.read(), 2) == b"data: 1\n\n"
        response.close()


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"hello")[:-1], gzip.compress(b"hello") + b"x", gzip.compress(b"hello")[:-8] + bytes(8)],
    ids=["cut", "followed", "a wrong checksum"],
)
async def test_a_broken_content_coding_is_junk(client: Pool, body: bytes) -> None:
    with pytest.raises(NotHttp):
        await body_said(client, coded(b"gzip", body))


async def test_a_bomb_goes_off_in_small_pieces_and_lets_others_run(client: Pool) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            await asyncio.sleep(0)
            others += 1

    async with serving(saying(coded(b"gzip", bomb), close=False)) as server:
        response = await ask(client, server)
        await asyncio.sleep(0.1)
        running, size, largest = asyncio.ensure_future(other()), 0, 0
        while size < 20_000_000:
            part = await response.read()
            size, largest = size + len(part), max(largest, len(part))
        running.cancel()
        response.close()
    assert largest <= 256 * 1024
    assert others >= 50
