"""What a provider that speaks OpenAI's wire can do to one attempt, and what that is called."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from keys.kinds import KINDS
from keys.vault import Secret
from routing import http1
from routing.endpoints import CHAT
from routing.providers import openai_wire, sse
from routing.providers.base import Failure, Target, Timeouts, UpstreamError
from routing.providers.openai_wire import OpenAIWire, WireReply
from tests.routing.http1.server import CHUNKED, HEAD, OK, PATIENT, Server, certificate, saying, serving

EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
async def _pools(settings: Settings) -> AsyncIterator[None]:
    settings.ALLOWED_PRIVATE_HOSTS = ("127.0.0.1", "localhost")
    yield
    await http1.close_pools()


def target(base_url: str, secret: str = KEY) -> Target:
    return Target("0", "p", KINDS["openai_compatible"], base_url, "m", True, Secret(secret))


async def send(url: str, timeouts: Timeouts = PATIENT, *, stream: bool = False, secret: str = KEY) -> WireReply:
    return await OpenAIWire().send(target(url, secret), CHAT.path, {"a": 1}, stream=stream, timeouts=timeouts)


async def failure(url: str, *, secret: str = KEY, **limits: float) -> tuple[Failure, str]:
    with pytest.raises(UpstreamError) as raised:
        await send(url, replace(PATIENT, **limits), secret=secret)
    return raised.value.failure, raised.value.message


def base(server: Server, scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{server.port}/v1"


async def test_an_answer() -> None:
    async with serving() as server:
        reply = await send(base(server))
    assert (reply.body, reply.blocks, reply.ended) == (b"ok", None, True)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer sk-very-secret-0123456789\r\n" in head
    assert b"\r\nCDN-Loop: llm-gateway-" in head
    assert b"\r\nAccept-Encoding: identity\r\n" in head
    assert body == b'{"a":1}'


async def test_a_stream_is_cut_after_whole_events_only() -> None:
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (EVENT[:10], EVENT[10:] + EVENT + EVENT[:5], EVENT[5:])]
    async with serving(saying(CHUNKED, *chunks, b"0\r\n\r\n", pause=0.05)) as server:
        reply = await send(base(server), stream=True)
        assert reply.blocks is not None
        assert [block async for block in reply.blocks] == [EVENT * 2, EVENT]
        assert reply.ended


# --- What went wrong, in plain words -------------------------------------------------------------


async def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert await failure(url) == (Failure.CONNECT, "the connection was refused")


async def test_no_such_host() -> None:
    assert await failure("http://no-such-host.invalid/v1") == (
        Failure.CONNECT, "the host's name cannot be resolved",
    )  # fmt: skip


async def test_no_tls(tmp_path: Path) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(shout) as plain, serving(tls=certificate(tmp_path, "localhost")) as untrusted:
        for url in (base(plain, "https"), base(untrusted, "https", "localhost")):
            assert await failure(url) == (Failure.CONNECT, "the TLS handshake failed")


async def test_no_connection_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with serving(silent) as server:
        assert await failure(base(server, "https"), connect=0.2) == (
            Failure.CONNECT_TIMEOUT, "no connection within 0.2 s",
        )  # fmt: skip


async def test_a_private_address(settings: Settings) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ()
    async with serving() as server:
        kind, message = await failure(base(server))
    assert kind is Failure.CONNECT
    assert "127.0.0.1 is a private address" in message
    assert server.connections == 0


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ((), Failure.DROPPED, "the connection broke before an answer"),
        ((b"HTTP/1.1 200",), Failure.DROPPED, "the connection broke before an answer"),
        ((HEAD + b"Content-Length: 9\r\n\r\nhalf",), Failure.DROPPED, "the connection broke during the answer"),
        ((b"SSH-2.0-OpenSSH_9.9\r\n",), Failure.JUNK, "the answer is not HTTP as it should be"),
        ((CHUNKED + b"x\r\n",), Failure.JUNK, "the answer is not HTTP as it should be"),
        ((b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",), Failure.JUNK,
         "answered with a redirect (302), which is not followed"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_none(said: tuple[bytes, ...], kind: Failure, words: str) -> None:
    async with serving(saying(*said)) as server:
        assert await failure(base(server)) == (kind, words)


async def test_too_late() -> None:
    async with serving(saying(close=False)) as server:
        assert await failure(base(server), first_byte=0.2) == (Failure.TIMEOUT, "no answer within 0.2 s")
    async with serving(saying(HEAD + b"Content-Length: 9\r\n\r\nhalf", close=False)) as server:
        assert await failure(base(server), idle=0.2) == (Failure.TIMEOUT, "the answer stopped coming")


@pytest.mark.parametrize("secret", ["sk-1\r\nX-Injected: 1", "sk-1\0", "sk-1\n"])
async def test_a_secret_that_is_more_than_one_header_is_not_sent_and_not_told(secret: str) -> None:
    async with serving() as server:
        kind, message = await failure(base(server), secret=secret)
    assert kind is Failure.CONNECT
    assert "sk-1" not in message
    assert server.connections == 0


async def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_wire, "MAX_ANSWER", 1_000_000)
    async with serving(saying(CHUNKED, *(b"10000\r\n" + bytes(65536) + b"\r\n" for _ in range(100)))) as server:
        assert await failure(base(server)) == (Failure.JUNK, "the answer is longer than 1000000 bytes")


async def test_an_event_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1_000_000)
    async with serving(saying(CHUNKED, *(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(100)))) as server:
        reply = await send(base(server), stream=True)
        assert reply.blocks is not None
        with pytest.raises(UpstreamError, match="an event is longer than 1000000 bytes"):
            await anext(reply.blocks)
        reply.close()


async def test_an_error_is_read_as_far_as_it_is_needed_and_hides_the_secret() -> None:
    body = b'{"error":{"message":"no quota for %b"}}' % KEY.encode()
    said = b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving(saying(said, body, pause=0.05)) as server:
        with pytest.raises(UpstreamError) as raised:
            await send(base(server))
    error = raised.value
    assert (error.failure, error.status, error.retry_after) == (Failure.STATUS, 429, 7)
    assert error.message == "no quota for ***"
    assert KEY.encode() not in error.body


async def test_a_connection_outlives_an_error() -> None:
    """A rate limit shall not cost a handshake as well."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(b"HTTP/1.1 429 X\r\nContent-Length: 2\r\n\r\n{}")
        await server.request(reader)
        writer.write(OK)
        await reader.read()

    async with serving(talk) as server:
        assert (await failure(base(server)))[0] is Failure.STATUS
        assert (await send(base(server))).body == b"ok"
    assert server.connections == 1


async def test_an_error_page_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_wire, "ERROR_SECONDS", 0.2)
    said = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\noops!\r\n"
    async with serving(saying(said, close=False)) as server:
        assert await failure(base(server)) == (Failure.STATUS, "oops!")
