"""How long the client waits."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from routing.http1 import HttpError, Pool, Response, TimedOut
from tests.routing.http1.server import CHUNKED, HEAD, OK, Talk, ask, body_of, saying, serving


async def fails_within(seconds: float, asking: Awaitable[object]) -> type[HttpError]:
    started = asyncio.get_running_loop().time()
    with pytest.raises(HttpError) as raised:
        await asyncio.wait_for(asking, 4)
    assert asyncio.get_running_loop().time() - started < seconds
    return raised.type


SILENT: dict[str, tuple[tuple[bytes, ...], float]] = {
    "nothing": ((), 0),
    "half a head": ((b"HTTP/1.1 200 OK\r\nA: b\r\n",), 0),
    "a head that drips": ((b"HTTP/1.1 200 OK\r\n", *(b"A: b\r\n" for _ in range(50))), 0.05),
}


@pytest.mark.parametrize("name", SILENT)
async def test_no_head_in_time(client: Pool, name: str) -> None:
    parts, pause = SILENT[name]
    async with serving(saying(*parts, pause=pause, close=False)) as server:
        assert await fails_within(1, ask(client, server, first_byte=0.3)) is TimedOut


async def body_within(client: Pool, talk: Talk, read: Callable[[Response], Awaitable[bytes]], **limits: float) -> None:
    async with serving(talk) as server:
        assert await fails_within(1.5, read(await ask(client, server, b"{}", **limits))) is TimedOut


async def test_an_answer_that_falls_silent(client: Pool) -> None:
    await body_within(client, saying(CHUNKED + b"5\r\nhello\r\n", close=False), body_of, idle=0.3)


async def test_framing_is_no_sign_of_life(client: Pool) -> None:
    dripping = saying(CHUNKED + b"5;", *(b"x" for _ in range(50)), pause=0.05, close=False)
    await body_within(client, dripping, body_of, idle=0.3)


async def test_an_answer_that_never_ends(client: Pool) -> None:
    dripping = saying(CHUNKED, *(b"1\r\nx\r\n" for _ in range(50)), pause=0.05, close=False)
    await body_within(client, dripping, body_of, idle=0.3, total=0.6)


async def test_a_reader_that_takes_its_time_is_not_the_servers_silence(client: Pool) -> None:
    body = bytes(4_000_000)
    said = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def slow(response: Response) -> bytes:
        found = await response.read()
        await asyncio.sleep(0.6)
        return found + await body_of(response)

    async with serving(saying(said, close=False)) as server:
        assert await slow(await ask(client, server, idle=0.3)) == body


async def test_a_late_answer_to_an_earlier_request_is_within_its_own_limits(client: Pool) -> None:
    """One timer serves a connection's whole life: none of its requests inherits what is left of another's time."""

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pause in (0.0, 0.5, 0.0):
            await server.request(reader)
            await asyncio.sleep(pause)
            writer.write(OK)

    async with serving(later) as server:
        await ask(client, server, first_byte=0.3)
        await ask(client, server, first_byte=1)
        await ask(client, server, first_byte=0.3)
    assert server.connections == 1
