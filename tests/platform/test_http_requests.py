"""What the web server's own protocol takes for a request, and what it does with one that means harm."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import psutil
import pytest

from tests.platform.http_server import connected, read_to_end, serving

# Seconds.
PATIENCE = 1
# Bytes: more than the kernel takes, and less than the transport calls full.
LONG = 60_000

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nhost: here\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

_before: ContextVar[str] = ContextVar("before", default="")
left: list[str] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked."""
    path = scope["path"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        return
    before = _before.get()
    _before.set(path)
    if path == "/waits":
        message: dict[str, Any] = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()
        left.append(path)
        return
    if path == "/slow":
        await asyncio.sleep(0.2)
    body, more = b"", True
    while more and path != "/unread":
        message = await receive()
        if message["type"] == "http.disconnect":
            left.append(path)
            return
        body, more = body + message["body"], message["more_body"]
    if path == "/long":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LONG)]})
        await send({"type": "http.response.body", "body": b"x" * LONG})
        return
    names = [name.decode() for name, _ in scope["headers"]]
    said = {"path": path, "before": before, "names": names, "length": len(body), "body": body[:100].decode()}
    answer = json.dumps(said).encode()
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(app, keep_alive=PATIENCE) as port:
        yield port


def post(path: str, body: bytes, *more: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in more)
    head = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n".encode()
    return head + lines + b"\r\n" + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode()


def answers(received: bytes) -> list[Any]:
    """What was said in each answer; of one that says nothing in JSON, its status."""
    found: list[Any] = []
    for answer in received.split(b"HTTP/1.1 ")[1:]:
        head, _, body = answer.partition(b"\r\n\r\n")
        found.append(json.loads(body) if body.startswith(b"{") else int(head[:3]))
    return found


def paths(received: bytes) -> list[Any]:
    return [answer["path"] if isinstance(answer, dict) else answer for answer in answers(received)]


# --- Whose bytes are these? ------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
def test_the_body_of_a_request_that_offers_another_protocol_is_its_own(
    port: int, protocol: bytes, at_once: bool
) -> None:
    """It was taken for the next request: Java's client offers HTTP/2 with its first one, whatever that is."""
    smuggled = get("/smuggled")
    request = post("/asked", smuggled, b"connection: Upgrade, HTTP2-Settings", b"upgrade: " + protocol)
    with connected(port) as client:
        if at_once:
            client.sendall(request + get("/next"))
        else:
            client.sendall(request.removesuffix(smuggled))
            time.sleep(0.1)
            client.sendall(smuggled)
            time.sleep(0.1)
            client.sendall(get("/next"))
        received = answers(read_to_end(client))
    assert [answer["path"] for answer in received] == ["/asked", "/next"]
    assert (received[0]["length"], received[0]["body"]) == (len(smuggled), smuggled.decode())


def test_a_chunked_body_beside_an_offered_protocol(port: int) -> None:
    with connected(port) as client:
        client.sendall(
            b"POST /asked HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
            b"transfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n" + get("/next")
        )
        received = answers(read_to_end(client))
    assert [answer["path"] for answer in received] == ["/asked", "/next"]
    assert received[0]["body"] == "whole"


def test_a_tunnel_is_not_opened(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"CONNECT /asked HTTP/1.1\r\nhost: here\r\n\r\n" + get("/next"))
        assert paths(read_to_end(client)) == [400]


def test_a_trailer_is_no_header(port: int) -> None:
    """Whoever stands before the gateway has judged the head: a credential behind the body was not in it."""
    with connected(port) as client:
        client.sendall(
            b"POST /asked HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
            b"5\r\nwhole\r\n0\r\nauthorization: Bearer another\r\n\r\n" + get("/next")
        )
        received = answers(read_to_end(client))
    assert [answer["path"] for answer in received] == ["/asked", "/next"]
    assert received[0]["names"] == ["host", "transfer-encoding"]
    assert received[1]["names"] == ["host"]


def test_a_body_of_tiny_parts_is_put_together(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /asked HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
        client.sendall(b"1\r\na\r\n2\r\nbc\r\n" * 30_000 + b"0\r\n\r\n")
        [received] = answers(read_to_end(client))
    assert (received["length"], received["body"]) == (90_000, ("abc" * 34)[:100])


# --- Requests that do not wait for the answers to those before them ----------------------------------


def test_requests_sent_ahead_know_nothing_of_each_other(port: int) -> None:
    with connected(port) as client:
        client.sendall(get("/slow") + get("/second") + post("/third", b"x"))
        received = answers(read_to_end(client))
    assert [answer["path"] for answer in received] == ["/slow", "/second", "/third"]
    assert [answer["before"] for answer in received] == ["", "", ""]


@pytest.mark.parametrize("behind", [b"", get("/second")])
def test_a_client_that_leaves_is_missed_by_the_request_that_is_being_answered(port: int, behind: bytes) -> None:
    """And not by one behind it, which was never begun."""
    left.clear()
    with connected(port) as client:
        client.sendall(get("/waits") + behind)
        time.sleep(0.2)
    wait_until(lambda: left == ["/waits"])


@pytest.mark.parametrize(
    "behind", [b"no request\r\n\r\n", b"CONNECT / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n x: y\r\n\r\n"]
)
def test_nothing_that_is_refused_answers_a_request_before_it(port: int, behind: bytes) -> None:
    with connected(port) as client:
        client.sendall(get("/slow") + get("/second") + behind + get("/smuggled"))
        received = read_to_end(client)
    assert paths(received) == ["/slow", "/second"]
    assert received.count(b"connection: close") == 1


def test_a_broken_body_is_refused_and_not_one_behind_another_request(port: int) -> None:
    broken = b"POST /broken HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\nno number\r\n"
    with connected(port) as client:
        client.sendall(broken)
        assert paths(read_to_end(client)) == [400]
    with connected(port) as client:
        client.sendall(get("/slow") + broken)
        assert read_to_end(client) == b""
    with connected(port) as client:
        client.sendall(broken.replace(b"/broken", b"/unread").removesuffix(b"no number\r\n"))
        time.sleep(0.1)
        client.sendall(b"no number\r\n")
        assert paths(read_to_end(client)) == ["/unread"]


def test_a_web_socket_does_not_begin_before_its_turn(port: int) -> None:
    with connected(port) as client:
        client.sendall(get("/slow") + HANDSHAKE)
        assert paths(read_to_end(client)) == ["/slow", "/socket"]
    with connected(port) as client:
        client.sendall(get("/first"))
        assert paths(client.recv(65536)) == ["/first"]
        client.sendall(HANDSHAKE)
        assert paths(read_to_end(client)) == [403]


def test_how_many_requests_may_come_ahead(port: int) -> None:
    """Each would be kept until its turn comes."""
    with connected(port) as client:
        client.sendall(get("/slow") + get("/next") * 400)
        received = paths(read_to_end(client))
    assert received == ["/slow"] + ["/next"] * 100


def test_a_head_behind_a_long_body_is_not_called_too_long(port: int) -> None:
    """The end of that body and its beginning came together."""
    body = b"x" * 200_000
    with connected(port) as client:
        client.sendall(post("/asked", body) + get("/next")[:-5])
        time.sleep(0.2)
        client.sendall(get("/next")[-5:])
        assert paths(read_to_end(client)) == ["/asked", "/next"]


# --- What has no end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"GET / HTTP/1.1\r\nx: ", id="a header"),
        pytest.param(b"POST /unread HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", id="a trailer"),
        pytest.param(b"POST /unread HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;x=", id="a chunk's extension"),
    ],
)
def test_what_goes_on_without_end_is_refused(port: int, begun: bytes) -> None:
    with connected(port) as client:
        client.sendall(begun)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                client.sendall(b"x" * 50_000)
            pytest.fail("ten megabytes were taken")


def test_what_goes_on_without_end_behind_a_request_is_not_kept_until_that_is_answered(port: int) -> None:
    with connected(port) as client:
        client.sendall(get("/waits") + b"GET / HTTP/1.1\r\nx: ")
        before = psutil.Process().memory_info().rss
        for _ in range(100):
            client.sendall(b"x" * 1_000_000)
        assert psutil.Process().memory_info().rss - before < 30_000_000


def test_too_many_headers_are_refused_before_anything_is_done(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /asked HTTP/1.1\r\n" + b"a: b\r\n" * 501 + b"\r\n")
        assert paths(read_to_end(client)) == [400]


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /asked HTTP/1.1\r\nhost:", id="a part of a head"),
        pytest.param(b"POST /asked HTTP/1.1\r\ncontent-length: 9\r\n\r\nwho", id="a part of a body"),
        pytest.param(b"POST /unread HTTP/1.1\r\ncontent-length: 9\r\n\r\nwho", id="a part of a body that nobody reads"),
    ],
)
def test_a_client_that_keeps_the_server_waiting(port: int, begun: bytes) -> None:
    """It would hold a connection for as long as it likes, and nobody has said yet who is asking."""
    began = time.monotonic()
    with connected(port) as client:
        client.sendall(begun)
        if b"unread" in begun:
            assert paths(client.recv(65536)) == ["/unread"]
        assert read_to_end(client) == b""
    assert PATIENCE * 0.9 < time.monotonic() - began < PATIENCE * 3


def test_a_head_that_comes_a_byte_at_a_time(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /asked HTTP/1.1\r\nx: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(PATIENCE * 100):
                client.sendall(b"y")
                time.sleep(0.05)
            pytest.fail("it was waited for")


def test_who_sends_a_long_body_slowly_has_time(port: int) -> None:
    with connected(port) as client:
        client.sendall(post("/asked", b"x" * 6)[:-6])
        for _ in range(6):
            time.sleep(PATIENCE * 0.4)
            client.sendall(b"x")
        [received] = answers(read_to_end(client))
    assert received["length"] == 6


def test_a_request_may_be_answered_for_longer_than_a_connection_may_be_idle(port: int) -> None:
    left.clear()
    with connected(port) as client:
        client.sendall(get("/waits") + get("/next")[:-5])  # and a part of another one
        client.settimeout(PATIENCE * 3)
        with pytest.raises(TimeoutError):
            client.recv(65536)
        assert left == []
    wait_until(lambda: left == ["/waits"])


@pytest.mark.parametrize("closing", [b"", b"connection: close\r\n"])
def test_an_answer_that_nobody_reads_does_not_keep_its_connection(port: int, closing: bytes) -> None:
    """Nor does its end, which is less than what the transport calls full."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /long HTTP/1.1\r\nhost: here\r\n" + closing + b"\r\n")
        time.sleep(PATIENCE * 3)
        assert len(read_to_end(client)) < LONG


def test_http_1_0_knows_of_no_interim_answer(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /asked HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        time.sleep(0.2)
        client.sendall(b"whole")
        assert [answer["body"] for answer in answers(read_to_end(client))] == ["whole"]


def wait_until(met: Any, within: float = 5) -> None:
    end = time.monotonic() + within
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)
