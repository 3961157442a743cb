"""The guard against server-side request forgery, at save and at connect time."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from gateway_project.lib.net import BlockedAddress, Guard, PrivateHosts, is_public, look_up
from routing import http1
from routing.providers.base import DEFAULT_TIMEOUTS

OWN = ("localhost", "127.0.0.1", "::1")

PRIVATE = [
    "http://127.0.0.1", "http://127.8.8.8:8000/v1", "http://10.1.2.3", "http://172.16.0.1", "http://192.168.0.10",
    "http://169.254.169.254", "http://100.64.0.1", "http://0.0.0.0", "http://198.18.0.1", "http://192.0.2.1",
    "http://224.0.0.1", "http://240.0.0.1", "http://255.255.255.255", "http://[::1]", "http://[::]",
    "http://[fe80::1]", "http://[fd00::1]", "http://[fec0::1]", "http://[ff02::1]",
    # IPv4 inside IPv6: mapped, compatible, 6to4, NAT64, Teredo.
    "http://[::ffff:127.0.0.1]", "http://[::ffff:a9fe:a9fe]", "http://[::127.0.0.1]", "http://[2002:7f00:1::]",
    "http://[64:ff9b::7f00:1]", "http://[64:ff9b:1::a00:1]", "http://[2001:0:a00:1::1]",
    # Letters that become ASCII on the way.
    "http://\uff11\uff12\uff17\u3002\uff10\u3002\uff10\u3002\uff11", "http://①27.0.0.1",
]  # fmt: skip
NO_ADDRESS = [
    "http://2130706433", "http://0x7f000001", "http://0x7f.1", "http://0177.0.0.1", "http://127.1", "http://1.2.3.4.5",
    "http://134744072", "http://256.1.1.1", "http://%31%32%37.0.0.1", "http://127.0.0.1%00.example",
]  # fmt: skip
MALFORMED = [
    "", "localhost", "//localhost", "http://", "http:///v1", "ftp://localhost", "file:///etc/passwd",
    "javascript:alert(1)", "http://localhost:99999", "http://localhost:0", "http://localhost:x", "http://[::1",
    "http://u:secret@localhost", "http://u@localhost", "http://localhost?x=1", "http://localhost/#x",
    "http://localhost\\@8.8.8.8", "http://local host", "http://localhost\n", "http://localhost\x00",
    "http://8.8.8.8#@127.0.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE, ids=ascii)
def test_a_private_address_needs_the_operator(url: str) -> None:
    with pytest.raises(ValueError, match="only the operator can allow"):
        look_up(url, ())


@pytest.mark.parametrize("url", NO_ADDRESS, ids=ascii)
@pytest.mark.parametrize("allowed", [(), OWN], ids=["none", "own"])
def test_what_only_looks_like_an_address(url: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"is no address|must be a URL"):
        look_up(url, allowed)


@pytest.mark.parametrize("url", MALFORMED, ids=ascii)
def test_what_is_no_address_of_a_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is no)") as refusal:
        look_up(url, OWN)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://LOCALHOST.", "http://127.0.0.1", "http://[::1]:1/v1"])
def test_what_the_operator_listed_is_local(url: str) -> None:
    assert look_up(url, OWN).local


@pytest.mark.parametrize("url", ["http://8.8.8.8", "https://[2606:4700::1111]/v1"])
def test_a_public_address_is_not(url: str) -> None:
    assert not look_up(url, OWN).local


def test_a_name_that_does_not_resolve_passes_and_is_not_local() -> None:
    destination = look_up("http://no-such-host.invalid/v1", OWN)
    assert (destination.resolved, destination.local) == (False, False)


def test_the_operators_list() -> None:
    hosts = PrivateHosts.parse(("GPU.lan", "box:8000", "10.0.0.0/8", "[fd00::1]:9000", "192.168.0.1:80"))
    assert hosts.has_name("gpu.lan.", 1)
    assert [hosts.has_name("box", port) for port in (8000, 8001)] == [True, False]
    assert not hosts.has_name("evil-gpu.lan", 1)
    asked = [
        ("10.9.9.9", 1),
        ("11.0.0.1", 1),
        ("fd00::1", 9000),
        ("fd00::1", 9001),
        ("192.168.0.1", 80),
        ("::ffff:10.0.0.1", 1),
    ]
    assert [hosts.has(ip_address(text), port) for text, port in asked] == [True, False, True, False, True, True]


def test_a_host_that_only_the_environment_names_is_reachable_and_judged_by_its_address() -> None:
    assert look_up("http://10.0.0.5:8000", (), ("10.0.0.5:8000",)).local
    assert not look_up("http://8.8.8.8:8000", (), ("8.8.8.8:8000",)).local
    with pytest.raises(ValueError, match="only the operator"):
        look_up("http://10.0.0.5:8001", (), ("10.0.0.5:8000",))


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True), ("10.0.0.1", False)],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


# --- At connect time -----------------------------------------------------------------------------


async def connect(url: str, allowed: tuple[str, ...]) -> type[BaseException] | int:
    """The status, or the class of what kept the connection from being made."""
    pool = http1.Pool(guard=lambda: Guard(PrivateHosts.parse(allowed)))
    try:
        response = await pool.send(http1.Request.prepare("GET", url, {}), None, DEFAULT_TIMEOUTS)
        return response.status
    except http1.ConnectFailed as error:
        return type(error.cause)
    finally:
        await pool.close()


@pytest.fixture
async def listening() -> "asyncio.Server":
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_no_socket_is_opened_to_a_private_address(listening: asyncio.Server, host: str) -> None:
    url = f"http://{host}:{listening.sockets[0].getsockname()[1]}"
    assert await connect(url, ()) is BlockedAddress
    assert await connect(url, ("10.0.0.1",)) is BlockedAddress


@pytest.mark.parametrize(
    ("host", "allowed"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("localhost", "127.0.0.0/8")]
)
async def test_a_listed_host_is_connected_to(listening: asyncio.Server, host: str, allowed: str) -> None:
    assert await connect(f"http://{host}:{listening.sockets[0].getsockname()[1]}", (allowed,)) == 204


async def test_a_name_that_turns_private_after_it_was_saved(
    listening: asyncio.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first lookup, at save, was public."""
    real = socket.getaddrinfo
    answers = iter(["8.8.8.8", "127.0.0.1"])

    def rebinding(host: str, *rest: object, **more: object) -> object:
        return real(next(answers) if host == "rebind.example" else host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = f"http://rebind.example:{listening.sockets[0].getsockname()[1]}"
    assert not look_up(url, ()).local
    assert await connect(url, ()) is BlockedAddress
