"""The guard against server-side request forgery: where the gateway may connect on a user's word.

A user names an address (a provider's `base_url`); it must not become a way to the operator's private network. So a
host is refused when any of its addresses is not public, unless the operator listed the host or the address
(`ALLOWED_PRIVATE_HOSTS`). That is checked when the address is saved (`look_up`) and again at every
connection (`Guard`), since what a name resolves to can change. Redirects are the callers' to refuse.
"""

import contextlib
import functools
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from yarl import URL

Address = IPv4Address | IPv6Address

# IPv6 prefixes whose last 32 bits are an IPv4 address that a translator on the way may deliver to.
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
DNS_TTL = 30
DNS_SECONDS = 3.0


class BlockedAddress(OSError):
    """A connection that was not made: its address is neither public nor on the operator's list, or it is `public`
    where it must not be.
    """

    def __init__(self, told: str, *, public: bool = False) -> None:
        super().__init__(told)
        self.public = public


class PrivateHost(ValueError):
    """A URL whose host is private, and which nobody allowed."""


def is_public(address: Address) -> bool:
    """Whether `address` belongs to the public internet; one that carries an IPv4 address is judged by that."""
    if isinstance(address, IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        carried += [IPv4Address(int(address) & 0xFFFF_FFFF) for network in TRANSLATED if address in network]
        inner = [found for found in carried if found is not None]
        if inner:
            return all(is_public(found) for found in inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


# A port on the operator's list; ANY stands for an entry without one.
ANY = 0
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class PrivateHosts:
    """The operator's list: names, addresses and networks (`10.0.0.0/8`), each with or without a port (`gpu:8000`)."""

    names: frozenset[tuple[str, int]]
    networks: tuple[tuple[Network, int], ...]

    @classmethod
    @functools.lru_cache(maxsize=16)
    def parse(cls, entries: tuple[str, ...]) -> "PrivateHosts":
        names: set[tuple[str, int]] = set()
        networks: list[tuple[Network, int]] = []
        for entry in entries:
            host, port = _split_port(entry.strip().lower())
            try:
                networks.append((ip_network(host.strip("[]"), strict=False), port))
            except ValueError:
                names.add((host.strip("[]").rstrip("."), port))
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str, port: int) -> bool:
        name = host.rstrip(".").lower()
        return (name, ANY) in self.names or (name, port) in self.names

    def has(self, address: Address, port: int) -> bool:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        plain = mapped or address
        return any(listed in (ANY, port) and plain in network for network, listed in self.networks)


def _split_port(entry: str) -> tuple[str, int]:
    """`gpu:8000` and `[::1]:8000` have a port; `::1`, `gpu` and `10.0.0.0/8` have none."""
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        return host, int(port)
    return entry, ANY


@dataclass(frozen=True)
class Destination:
    """Where a URL leads: its host as it will be connected to, and whether that is on private ground."""

    host: str
    resolved: bool
    # Whether the operator listed the name, or every address is private or on the operator's list.
    local: bool


def look_up(url: str, allowed: Iterable[str], reachable: Iterable[str] = ()) -> Destination:
    """Where `url` leads, asking the DNS. Raises `ValueError`, in plain words, when it may not be used.

    `allowed` is the operator's list. `reachable` hosts may be private as well, but being there makes none local.
    A name that does not resolve (yet) passes: nothing can be reached through it, and connecting checks again.
    """
    host, port = _host_and_port(url)
    listed, reached = PrivateHosts.parse(tuple(allowed)), PrivateHosts.parse(tuple(reachable))
    literal = _literal(host)
    if literal is None and _looks_numeric(host):
        raise ValueError(f"the host {host} is no address; write an IPv4 address as four decimal numbers.")
    if listed.has_name(host, port):
        return Destination(host, resolved=True, local=True)
    addresses = [literal] if literal is not None else _resolve(host)
    for address in addresses if not reached.has_name(host, port) else ():
        if not (is_public(address) or listed.has(address, port) or reached.has(address, port)):
            raise PrivateHost(
                f"the host {host} is a private address, which only the operator can allow (ALLOWED_PRIVATE_HOSTS)."
            )
    local = all(not is_public(address) or listed.has(address, port) for address in addresses)
    return Destination(host, resolved=bool(addresses), local=bool(addresses) and local)


def _host_and_port(url: str) -> tuple[str, int]:
    """Where `url` leads, the host in the form in which it will be asked for."""
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("must have no spaces, backslashes or control characters.")
    try:
        parsed = URL(url)
        host, scheme, authority = parsed.raw_host, parsed.scheme, parsed.raw_authority
    except ValueError:
        raise ValueError("is not a URL.") from None
    if scheme not in ("http", "https") or not host or "%" in host:
        raise ValueError("must be a URL that starts with http:// or https:// and names a host.")
    if "@" in authority:
        raise ValueError("must carry no user name and no password.")
    if parsed.raw_query_string or parsed.raw_fragment or url.endswith(("?", "#")):
        raise ValueError("must have no query and no fragment.")
    if not parsed.port:
        raise ValueError("must have a port from 1 to 65535.")
    return host, parsed.port


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _looks_numeric(host: str) -> bool:
    """Whether the C library might read `host` as an address although it is not written as one: 0x7f.1, 2130706433."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:]))


def _resolve(host: str) -> list[Address]:
    """The addresses of `host`; none when the DNS knows none, or says nothing within `DNS_SECONDS`."""
    found: list[Address] = []

    def ask() -> None:
        # UnicodeError: a label that is empty or too long.
        with contextlib.suppress(OSError, UnicodeError):
            found.extend(ip_address(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))

    # getaddrinfo takes no timeout, so it waits in a thread that may be left behind.
    thread = threading.Thread(target=ask, name="dns", daemon=True)
    thread.start()
    thread.join(DNS_SECONDS)
    return [] if thread.is_alive() else found


# --- At connect time -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Guard:
    """Judges each address that a connection is about to be made to, knowing the name that led there."""

    allowed: PrivateHosts
    # Where a local provider may be although the address is public, if the provider is to be local.
    local: PrivateHosts | None = None

    @classmethod
    def from_settings(cls, *, local: bool = False) -> "Guard":
        """What the operator allows. With `local` no public address is let through either but those that the operator
        listed, so that what a name of a local provider means cannot change under a request that must stay in the house.
        """
        listed = tuple(settings.ALLOWED_PRIVATE_HOSTS)
        allowed = PrivateHosts.parse((*listed, *settings.ENVIRONMENT_HOSTS))
        return cls(allowed, PrivateHosts.parse(listed) if local else None)

    @classmethod
    def for_clients(cls) -> "Guard":
        """For what a request names, an image say: its client is no operator, and may name no private host."""
        return cls(PrivateHosts.parse(tuple(settings.CLIENTS_PRIVATE_HOSTS)))

    def check(self, host: str, address: str, port: int) -> None:
        """Raise `BlockedAddress` unless `address` (digits), to which `host` leads, may be connected to."""
        parsed = ip_address(address)
        if is_public(parsed):
            if self.local is not None and not (self.local.has(parsed, port) or self.local.has_name(host, port)):
                raise BlockedAddress(f"{address} is a public address, and this provider is to be local", public=True)
        elif not (self.allowed.has(parsed, port) or self.allowed.has_name(host, port)):
            raise BlockedAddress(f"{address} is a private address that ALLOWED_PRIVATE_HOSTS does not list")
