"""What the web server's own protocol makes of an application's answers, byte for byte."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.platform.http_server import connected, read_to_end, serving

# Seconds.
KEEP_ALIVE = 1


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers as the path says."""

    async def begin(*headers: tuple[bytes, bytes], status: int = 200) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def part(body: bytes, more: bool = False) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    match scope["path"]:
        case "/whole":
            await begin((b"Content-Length", b"5"), (b"X-Tab", b"a\tb"))
            await part(b"whole")
        case "/in-parts":
            await begin((b"content-length", b"5"))
            await part(b"wh", more=True)
            await part(b"ole")
        case "/chunked":
            await begin()
            await part(b"whole", more=True)
            await part(b"")
        case "/nothing":
            await begin(status=204)
            await part(b"")
        case "/too-long":
            await begin((b"content-length", b"3"))
            await part(b"whole")
        case "/too-short":
            await begin((b"content-length", b"9"))
            await part(b"whole")
        case "/breaks-out":
            await begin((b"x-name", b"value\r\nset-cookie: stolen=1"))
        case "/no-name":
            await begin((b"x name", b"value"))
        case "/echo":
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            await begin((b"content-length", b"%d" % len(body)))
            await part(body)
        case "/closes":
            await begin((b"connection", b"Close"), (b"content-length", b"0"))
            await part(b"")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server with that application."""
    with serving(app, keep_alive=KEEP_ALIVE) as port:
        yield port


def asked(port: int, path: str, method: str = "GET") -> bytes:
    """All that comes until the server closes the connection, which it is asked to do."""
    with connected(port) as client:
        client.sendall(f"{method} {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n".encode())
        return read_to_end(client)


def split(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


@pytest.mark.parametrize("path", ["/whole", "/in-parts"])
def test_an_answer_of_a_declared_length_comes_as_it_is(port: int, path: str) -> None:
    head, body = split(asked(port, path))
    assert head[0] == b"HTTP/1.1 200 OK"
    assert b"content-length: 5" in head
    assert not any(line.startswith(b"transfer-encoding") for line in head)
    assert body == b"whole"


def test_a_header_s_name_is_written_in_lower_case_and_its_value_as_it_is(port: int) -> None:
    assert b"x-tab: a\tb" in split(asked(port, "/whole"))[0]


def test_head_and_body_are_one_piece(port: int) -> None:
    with connected(port) as client:
        for _ in range(50):
            client.sendall(b"GET /whole HTTP/1.1\r\nhost: here\r\n\r\n")
            assert client.recv(65536).endswith(b"\r\n\r\nwhole")


def test_an_answer_without_a_length_is_chunked(port: int) -> None:
    head, body = split(asked(port, "/chunked"))
    assert b"transfer-encoding: chunked" in head
    assert body == b"5\r\nwhole\r\n0\r\n\r\n"


def test_head_has_the_head_alone(port: int) -> None:
    head, body = split(asked(port, "/whole", "HEAD"))
    assert (b"content-length: 5" in head, body) == (True, b"")
    assert asked(port, "/nothing").startswith(b"HTTP/1.1 204 No Content\r\n")


@pytest.mark.parametrize("path", ["/breaks-out", "/no-name"])
def test_a_header_that_would_be_more_than_one_is_not_sent(port: int, path: str) -> None:
    assert asked(port, path) == b""


def test_a_body_of_another_length_than_declared_ends_the_connection(port: int) -> None:
    assert b"whole" not in asked(port, "/too-long")
    assert split(asked(port, "/too-short"))[1] == b"whole"


def test_requests_sent_at_once_are_answered_in_order(port: int) -> None:
    with connected(port) as client:
        paths = ["/whole", "/nothing", "/chunked", "/closes", "/whole"]
        client.sendall(b"".join(f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode() for path in paths))
        received = read_to_end(client)
    # Nothing is answered on a connection that an answer closed.
    statuses = [line for line in received.split(b"\r\n") if b"HTTP/1.1" in line]
    assert [status.rpartition(b"HTTP/1.1 ")[2][:3] for status in statuses] == [b"200", b"204", b"200", b"200"]


def test_a_body_is_taken_as_it_comes(port: int) -> None:
    with connected(port) as client:
        for size in (0, 1, 300_000):
            client.sendall(b"POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % size)
            time.sleep(0.05)
            client.sendall(b"x" * size)
            received = b""
            while not received.endswith(b"\r\n\r\n" + b"x" * size):
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_keeps_its_body_back_is_told_to_go_on(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\nExpect: 100-Continue\r\n\r\n")
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"wh")
        time.sleep(0.05)
        client.sendall(b"ole")
        assert split(client.recv(65536))[1] == b"whole"


def test_an_idle_connection_is_closed_in_time_and_one_in_use_is_not(port: int) -> None:
    with connected(port) as client:
        for _ in range(4):
            client.sendall(b"GET /whole HTTP/1.1\r\nhost: here\r\n\r\n")
            assert client.recv(65536)
            time.sleep(KEEP_ALIVE * 0.4)
        answered = time.monotonic() - KEEP_ALIVE * 0.4
        assert client.recv(65536) == b""
    assert KEEP_ALIVE * 0.9 < time.monotonic() - answered < KEEP_ALIVE * 2
