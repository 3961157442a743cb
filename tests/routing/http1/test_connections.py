"""When a connection is used again, and when it must not be."""

import asyncio

import pytest

from routing.http1 import Dropped, Pool
from routing.http1 import connection as connections
from tests.routing.http1.server import CHUNKED, OK, answer_all, ask, body_of, saying, serving


async def test_a_connection_is_used_again(client: Pool) -> None:
    async with serving() as server:
        for _ in range(5):
            assert await body_of(await ask(client, server)) == b"ok"
    assert server.connections == 1


async def test_each_request_at_a_time_has_a_connection_of_its_own(client: Pool) -> None:
    async with serving() as server:
        responses = await asyncio.gather(*(ask(client, server) for _ in range(8)))
        assert [await body_of(response) for response in responses] == [b"ok"] * 8
        assert server.connections == 8
        await ask(client, server)
    assert server.connections == 8


NOT_AGAIN = {
    "it says so": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "it says more than it is asked": OK + OK,
    "it begins to say more": OK + b"HTT",
    "it says junk after the end": OK + b"?",
}


@pytest.mark.parametrize("name", NOT_AGAIN)
async def test_a_connection_that_is_not_used_again(client: Pool, name: str) -> None:
    async with serving(lambda reader, writer: answer_all(server, reader, writer, NOT_AGAIN[name])) as server:
        for _ in range(3):
            assert await body_of(await ask(client, server)) == b"ok"
    assert server.connections == 3


async def test_an_answer_that_nobody_asked_for_is_nobodys_answer(client: Pool) -> None:
    """What a server says while its connection waits would be taken for the answer to the next request."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(OK.replace(b"ok", b"no"))
        await reader.read()

    async with serving(talk) as server:
        for _ in range(3):
            assert await body_of(await ask(client, server)) == b"ok"
            await asyncio.sleep(0.15)
    assert server.connections == 3


async def test_a_connection_that_was_closed_meanwhile_is_not_used(client: Pool) -> None:
    async with serving(saying(OK)) as server:
        for _ in range(3):
            assert await body_of(await ask(client, server)) == b"ok"
            await asyncio.sleep(0.05)
    assert server.connections == 3


async def test_nothing_is_sent_twice(client: Pool) -> None:
    """A connection that breaks when it is used again: who knows whether the request was acted upon is the caller."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await server.request(reader)
        writer.transport.abort()

    async with serving(once) as server:
        await ask(client, server)
        with pytest.raises(Dropped, match="before an answer"):
            await ask(client, server)
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_connection_that_nobody_needs_is_closed(client: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEP_ALIVE", 0.2)
    async with serving() as server:
        await ask(client, server)
        await asyncio.wait_for(server.left.wait(), 2)
        await ask(client, server)
    assert server.connections == 2


async def test_who_leaves_drops_the_connection(client: Pool) -> None:
    async with serving(saying(CHUNKED + b"5\r\nhello\r\n", close=False)) as server:
        response = await ask(client, server)
        response.close()
        with pytest.raises(Dropped):
            await body_of(response)
        response = await ask(client, server)
    assert server.connections == 2


async def test_a_request_that_is_cancelled_drops_its_connection(client: Pool) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        assert await reader.read() == b""
        server.left.set()

    async with serving(hold) as server:
        asking = asyncio.ensure_future(ask(client, server))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.wait_for(server.left.wait(), 1)


async def test_closing_an_answer_that_is_complete_disturbs_nobody(client: Pool) -> None:
    async with serving() as server:
        first = await ask(client, server)
        assert await body_of(first) == b"ok"
        second = asyncio.ensure_future(ask(client, server))
        await asyncio.sleep(0)
        first.close()
        assert await body_of(await second) == b"ok"
    assert server.connections == 1


async def test_what_nobody_reads_is_not_fetched(client: Pool) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        while True:
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            await writer.drain()
            sent += 65536

    async with serving(endless) as server:
        response = await ask(client, server)
        await asyncio.sleep(0.5)
        held = sum(map(len, response.blocks))
        assert held < 1_000_000
        before, read = sent, 0
        while read < 20_000_000:
            read += len(await response.read())
        assert sent > before
        response.close()
