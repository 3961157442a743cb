"""How a connection is made: the name, the guard, the address, TLS; and what each failure is called."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway_project.lib.net import BlockedAddress, Guard, PrivateHosts
from routing.http1 import ConnectFailed, ConnectTimedOut, Pool, Request, dial
from tests.routing.http1.server import PATIENT, body_of, certificate, pool, serving


async def get(client: Pool, url: str, **limits: float) -> bytes:
    return await body_of(await client.send(Request.prepare("GET", url, {}), None, replace(PATIENT, **limits)))


async def failure(client: Pool, url: str) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as raised:
        await get(client, url)
    return raised.value


class Names:
    """Stands before the system's resolver: knows some names, and remembers what it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.seconds = 0.0
        self.real = socket.getaddrinfo

    def __call__(self, host: str, port: int, *rest: int, **more: int) -> list[tuple[object, ...]]:
        self.asked.append(host)
        time.sleep(self.seconds)
        return [entry for address in self.known.get(host, [host]) for entry in self.real(address, port, *rest, **more)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    found = Names()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# --- Names and addresses -------------------------------------------------------------------------


async def test_a_name_is_looked_up_once_by_many_and_remembered(client: Pool, names: Names) -> None:
    names.known, names.seconds = {"localhost": ["127.0.0.1"]}, 0.1
    async with serving() as server:
        await asyncio.gather(*(get(client, server.url(host="localhost")) for _ in range(10)))
        assert server.connections == 10
        await asyncio.gather(*(get(client, server.url(host="localhost")) for _ in range(20)))
    assert names.asked == ["localhost"]


async def test_a_name_is_forgotten_after_a_while(client: Pool, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "DNS_TTL", 0)
    names.known = {"localhost": ["127.0.0.1"]}
    async with serving() as server:
        await asyncio.gather(*(get(client, server.url(host="localhost")) for _ in range(2)))
        await asyncio.gather(*(get(client, server.url(host="localhost")) for _ in range(3)))
    assert names.asked == ["localhost"] * 2


async def test_who_gives_up_a_name_does_not_take_it_from_others(client: Pool, names: Names) -> None:
    names.known, names.seconds = {"localhost": ["127.0.0.1"]}, 0.2
    async with serving() as server:
        first, second = (asyncio.ensure_future(get(client, server.url(host="localhost"))) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second == b"ok"


async def test_a_name_that_takes_too_long(client: Pool, names: Names) -> None:
    names.seconds = 0.5
    for patience in ({"connect": 0.1}, {"first_byte": 0.1}):
        with pytest.raises(ConnectTimedOut):
            await get(client, "http://localhost:1", **patience)


async def test_while_a_known_name_is_asked_for_in_vain_its_last_addresses_serve(
    client: Pool, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "DNS_TTL", 0)
    monkeypatch.setattr(dial, "FRESH_WITHIN", 0.05)
    names.known = {"localhost": ["127.0.0.1"]}
    async with serving() as server:
        assert await get(client, server.url(host="localhost")) == b"ok"
        names.seconds = 0.5
        answers = asyncio.gather(*(get(client, server.url(host="localhost"), connect=0.3) for _ in range(3)))
        assert await answers == [b"ok"] * 3
        await asyncio.sleep(0.5)
        assert names.asked == ["localhost"] * 2
        # Who says that there is no such name is believed, if it is said in time.
        monkeypatch.setattr(dial, "FRESH_WITHIN", 10)
        names.known, names.seconds = {"localhost": ["no-such-host.invalid"]}, 0.0
        more = (get(client, server.url(host="localhost")) for _ in range(server.connections + 1))
        *_, last = await asyncio.gather(*more, return_exceptions=True)
        assert isinstance(last, ConnectFailed)
        assert isinstance(last.cause, socket.gaierror)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".example"])
async def test_a_name_that_is_none(client: Pool, host: str) -> None:
    found = await failure(client, f"http://{host}:8000")
    assert isinstance(found.cause, socket.gaierror)


async def test_an_address_is_asked_of_nobody(client: Pool, names: Names) -> None:
    async with serving() as server:
        assert await get(client, server.url()) == b"ok"
    assert names.asked == []


async def test_the_next_address_is_tried(names: Names) -> None:
    names.known = {"both.example": ["127.0.0.2", "127.0.0.1"]}
    client = pool("127.0.0.0/8")
    async with serving() as server:
        assert await get(client, server.url(host="both.example")) == b"ok"
    await client.close()


async def test_nothing_listens(client: Pool) -> None:
    found = await failure(client, f"http://127.0.0.1:{free_port()}")
    assert isinstance(found.cause, ConnectionRefusedError)
    assert not found.tls


# --- The guard -----------------------------------------------------------------------------------


async def test_each_address_of_a_name_must_pass(names: Names) -> None:
    names.known = {"mixed.example": ["8.8.8.8", "127.0.0.1"]}
    client = pool("10.0.0.0/8")
    async with serving() as server:
        found = await failure(client, server.url(host="mixed.example"))
    assert isinstance(found.cause, BlockedAddress)
    assert server.connections == 0


async def test_a_name_that_changes_its_mind_is_judged_by_what_it_says_now(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "DNS_TTL", 0)
    client = pool("127.0.0.1")
    async with serving() as server:
        names.known = {"turning.example": ["127.0.0.1"]}
        assert await get(client, server.url(host="turning.example")) == b"ok"
        await client.close()
        names.known = {"turning.example": ["10.0.0.1"]}
        client = pool("127.0.0.1")
        assert isinstance((await failure(client, server.url(host="turning.example"))).cause, BlockedAddress)


async def test_a_listed_name_vouches_for_itself_only(names: Names) -> None:
    names.known = {"listed.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    client = pool("listed.example")
    async with serving() as server:
        assert await get(client, server.url(host="listed.example")) == b"ok"
        assert isinstance((await failure(client, server.url(host="other.example"))).cause, BlockedAddress)
        assert isinstance((await failure(client, server.url())).cause, BlockedAddress)
    await client.close()


@pytest.mark.parametrize(
    ("host", "address", "passes"),
    [
        ("8.8.8.8", "8.8.8.8", False),
        ("turned.example", "8.8.8.8", False),
        ("listed.example", "8.8.8.8", True),
        ("9.9.9.9", "9.9.9.9", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.2", False),
    ],
)
def test_what_a_local_provider_may_reach(host: str, address: str, passes: bool) -> None:
    listed = PrivateHosts.parse(("listed.example", "9.9.9.9", "10.0.0.1"))
    guard = Guard(listed, listed)
    if passes:
        guard.check(host, address, 443)
    else:
        with pytest.raises(BlockedAddress):
            guard.check(host, address, 443)


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's side of TLS for localhost and 127.0.0.1 that this process trusts."""
    context = certificate(tmp_path, "localhost", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))
    dial.tls_context.cache_clear()
    yield context
    dial.tls_context.cache_clear()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_tls(client: Pool, trusted: ssl.SSLContext, host: str) -> None:
    asked: list[str] = []
    trusted.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with serving(tls=trusted) as server:
        for _ in range(3):
            assert await get(client, server.url("https", host)) == b"ok"
    assert server.connections == 1
    assert asked == (["localhost"] if host == "localhost" else [None])


async def test_tls_speaks_http_1(client: Pool, trusted: ssl.SSLContext) -> None:
    spoken: list[str | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await server.request(reader)
        writer.write(b"HTTP/1.1 204 OK\r\n\r\n")

    async with serving(talk, tls=trusted) as server:
        await get(client, server.url("https"))
    assert spoken == ["http/1.1"]


async def test_a_long_body_over_tls(client: Pool, trusted: ssl.SSLContext) -> None:
    body = bytes(3_000_000)
    async with serving(tls=trusted) as server:
        for _ in range(2):
            response = await client.send(Request.prepare("POST", server.url("https"), {}), body, PATIENT)
            assert await body_of(response) == b"ok"
    assert server.requests[0].endswith(body)
    assert server.connections == 1


async def test_a_certificate_for_another_name(client: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certificate(tmp_path, "elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))
    dial.tls_context.cache_clear()
    async with serving(tls=context) as server:
        found = await failure(client, server.url("https", "localhost"))
    dial.tls_context.cache_clear()
    assert isinstance(found.cause, ssl.SSLCertVerificationError)
    assert found.tls
    assert server.requests == []


async def test_a_certificate_that_nobody_trusts(client: Pool, tmp_path: Path) -> None:
    async with serving(tls=certificate(tmp_path, "localhost")) as server:
        found = await failure(client, server.url("https", "localhost"))
    assert isinstance(found.cause, ssl.SSLCertVerificationError)
    assert server.requests == []


async def test_a_server_without_tls(client: Pool) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(shout) as server:
        assert (await failure(client, server.url("https"))).tls


async def test_a_server_that_hangs_up_at_once(client: Pool) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(hang_up) as server:
        assert (await failure(client, server.url("https"))).tls


async def test_a_handshake_that_takes_too_long(client: Pool) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with serving(silent) as server:
        with pytest.raises(ConnectTimedOut):
            await get(client, server.url("https"), connect=0.2)
