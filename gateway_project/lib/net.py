"""The guard against server-side request forgery: where the gateway may connect on a user's word.

A user names an address (a provider's `base_url`); it must not become a way to the operator's private network. So a
host is refused when any of its addresses is not public, unless the operator listed the host or the address
(`ALLOWED_PRIVATE_HOSTS`). That is checked when the address is saved (`look_up`, `check_url`) and again at every
connection (`guarded_connector`), since what a name resolves to can change. Redirects are the callers' to refuse.
"""

import functools
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.conf import settings
from yarl import URL

Address = IPv4Address | IPv6Address

# IPv6 prefixes whose last 32 bits are an IPv4 address that a translator on the way may deliver to.
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
DNS_TTL = 30


class BlockedAddress(OSError):
    """A connection to an address that is neither public nor on the operator's list. It was not made."""


def is_public(address: Address) -> bool:
    """Whether `address` belongs to the public internet, and so does any IPv4 address that it carries."""
    if isinstance(address, IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        inner += [IPv4Address(int(address) & 0xFFFF_FFFF) for network in TRANSLATED if address in network]
        carried = [found for found in inner if found is not None]
        if carried and not all(is_public(found) for found in carried):
            return False
        if address.ipv4_mapped is not None:
            return True
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


@dataclass(frozen=True)
class PrivateHosts:
    """The operator's list: host names, addresses, and networks such as `10.0.0.0/8`."""

    names: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    @functools.lru_cache(maxsize=16)
    def parse(cls, entries: tuple[str, ...]) -> "PrivateHosts":
        names, networks = set(), []
        for entry in entries:
            text = entry.strip().lower().strip("[]").rstrip(".")
            try:
                networks.append(ip_network(text, strict=False))
            except ValueError:
                names.add(text)
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str) -> bool:
        return host.rstrip(".").lower() in self.names

    def has(self, address: Address) -> bool:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self.networks)


@dataclass(frozen=True)
class Destination:
    """Where a URL leads: its host as it will be connected to, and whether that is on private ground."""

    host: str
    # True when every address is private or on the operator's list; False, too, when the name does not resolve.
    local: bool


def look_up(url: str, allowed_private_hosts: Iterable[str]) -> Destination:
    """Where `url` leads, asking the DNS. Raises `ValueError`, in plain words, when it may not be used.

    A name that does not resolve (yet) passes: nothing can be reached through it, and connecting checks again.
    """
    host = _host(url)
    allowed = PrivateHosts.parse(tuple(allowed_private_hosts))
    literal = _literal(host)
    if literal is None and _looks_numeric(host):
        raise ValueError(f"the host {host} is no address; write an IPv4 address as four decimal numbers.")
    if allowed.has_name(host):
        return Destination(host, local=True)
    addresses = [literal] if literal is not None else _resolve(host)
    for address in addresses:
        if not is_public(address) and not allowed.has(address):
            raise ValueError(
                f"the host {host} is a private address, which only the operator can allow (ALLOWED_PRIVATE_HOSTS)."
            )
    return Destination(host, local=bool(addresses) and all(allowed.has(address) for address in addresses))


def check_url(url: str, allowed_private_hosts: Iterable[str]) -> None:
    """Raise `ValueError`, in plain words, when the gateway must not connect to `url`."""
    look_up(url, allowed_private_hosts)


def _host(url: str) -> str:
    """The host of `url`, in the form in which aiohttp will ask for it."""
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
        raise ValueError("must not carry a user name or a password; give a secret as api_key.")
    if parsed.raw_query_string or parsed.raw_fragment or url.endswith(("?", "#")):
        raise ValueError("must have no query and no fragment.")
    if parsed.port == 0:
        raise ValueError("must have a port from 1 to 65535.")
    return host


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
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    except UnicodeError:
        raise ValueError(f"the host {host} is no host name.") from None
    return [ip_address(entry[4][0]) for entry in found]


# --- At connect time -----------------------------------------------------------------------------


class GuardedResolver(AbstractResolver):
    """Resolves names for aiohttp and refuses those that lead to a private address.

    aiohttp does not ask it about addresses that are written out; `guarded_connector` checks those as well.
    """

    def __init__(self, allowed_private_hosts: Sequence[str] | None = None) -> None:
        entries = settings.ALLOWED_PRIVATE_HOSTS if allowed_private_hosts is None else allowed_private_hosts
        self.allowed = PrivateHosts.parse(tuple(entries))
        self._resolver = ThreadedResolver()
        # Private addresses of names on the list: all that a socket may be opened to besides the public ones.
        self._vouched: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if self.allowed.has_name(host):
            self._vouched.update(result["host"] for result in found)
        for result in found:
            self.check(result["host"])
        return found

    def check(self, address: str) -> None:
        """Raise `BlockedAddress` unless `address` (digits, no name) may be connected to."""
        if address in self._vouched:
            return
        parsed = ip_address(address)
        if not is_public(parsed) and not self.allowed.has(parsed):
            raise BlockedAddress(f"{address} is a private address that ALLOWED_PRIVATE_HOSTS does not list")

    async def close(self) -> None:
        await self._resolver.close()


def guarded_connector(allowed_private_hosts: Sequence[str] | None = None, **options: Any) -> aiohttp.TCPConnector:
    """A connector for aiohttp that opens no socket to a private address off the operator's list.

    `options` are `aiohttp.TCPConnector`'s. Checked once for each new connection; a pooled one costs nothing.
    """
    resolver = GuardedResolver(allowed_private_hosts)

    def open_socket(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        resolver.check(address[0])
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(resolver=resolver, socket_factory=open_socket, **{"ttl_dns_cache": DNS_TTL, **options})
