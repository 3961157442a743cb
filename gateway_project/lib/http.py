"""What a request says about its client."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address of the client, "" when the server knows none (a Unix socket).

    `X-Forwarded-For` is believed only as far as it was written by `TRUSTED_PROXIES`: from the right, the first address
    that is none of them is the client's, and what the client wrote to the left of it counts for nothing.
    """
    peer = _parse(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return ""
    forwarded = [_parse(hop) for hop in request.headers.get("x-forwarded-for", "").split(",")]
    while _is_proxy(peer) and forwarded:
        hop = forwarded.pop()
        if hop is None:
            break
        peer = hop
    return str(peer)


def address_group(address: str) -> str:
    """What limits by address count as one client: an IPv4 address, or an IPv6 /64, which one host has to itself."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Some proxies add a port: 192.0.2.1:4711, [2001:db8::1]:4711."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_proxy(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)
