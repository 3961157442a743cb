"""What the client sends."""

import asyncio

import pytest

from routing.http1 import Pool, Request
from tests.routing.http1.server import PATIENT, answer_all, ask, body_of, post, serving


async def test_the_request_as_it_is_sent(client: Pool) -> None:
    async with serving() as server:
        request = Request.prepare("POST", server.url(), {"Authorization": "Bearer s", "X-Name": "é"})
        await client.send(request, b'{"a":1}', PATIENT, b"CDN-Loop: x\r\n")
        await client.send(Request.prepare("GET", server.url() + "?a=b%20c#d", {}), None, PATIENT)
    assert server.requests == [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer s\r\nX-Name: %b\r\n"
        b'CDN-Loop: x\r\nContent-Length: 7\r\n\r\n{"a":1}' % (server.port, "é".encode()),
        b"GET /v1/chat/completions?a=b%%20c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port,
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://a.example", b"a.example"), ("https://a.example:443/", b"a.example"), ("http://[::1]:81", b"[::1]:81")],
)
def test_the_host_that_is_named(url: str, host: bytes) -> None:
    assert b"\r\nHost: " + host + b"\r\n" in Request.prepare("GET", url, {}).wire()


@pytest.mark.parametrize("header", [{"A": "b\r\nX: y"}, {"A": "b\nc"}, {"A": "b\0"}, {"A\r\nX: y": "b"}, {"": "b"}])
def test_a_header_that_would_be_more_than_one_is_not_prepared(header: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header") as refused:
        Request.prepare("GET", "http://a.example", header)
    assert "X: y" not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://a", "a", "", "http://", "//a"])
def test_what_is_no_url_of_an_http_server_is_not_prepared(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Request.prepare("GET", url, {})


def test_a_request_does_not_show_its_secret() -> None:
    assert "hidden" not in repr(Request.prepare("GET", "http://a", {"Authorization": "hidden"}))


async def test_a_long_body_is_sent_no_faster_than_it_is_taken(client: Pool) -> None:
    taken = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.wait()
        await answer_all(server, reader, writer)

    body = bytes(20_000_000)
    async with serving(slow) as server:
        request = post(server)
        connection = await client._connect(request.origin, PATIENT)
        head_due = asyncio.get_running_loop().time() + 5
        asking = asyncio.ensure_future(connection.ask(request.wire(body), body, PATIENT, head_due))
        await asyncio.sleep(0.3)
        assert 0 < connection.transport.get_write_buffer_size() < 1_000_000
        taken.set()
        assert await body_of(await asking) == b"ok"
        assert server.requests[0].endswith(body)
        assert await body_of(await ask(client, server)) == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize("status", [413, 200])
async def test_an_answer_before_the_request_was_read_is_heard_and_ends_the_connection(
    client: Pool, status: int
) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100)
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status)
        await asyncio.sleep(5)

    async with serving(early) as server:
        for _ in range(2):
            response = await ask(client, server, bytes(20_000_000))
            assert (response.status, await body_of(response)) == (status, b"no")
    assert server.connections == 2
