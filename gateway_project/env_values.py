"""Parsers of variables' values. Each raises ValueError with what the value must be; none repeats the value."""

import base64
import binascii
import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

# django-environ's names for Django's mail backends.
EMAIL_SCHEMES = ("smtp", "smtps", "smtp+tls", "smtp+ssl", "consolemail", "filemail", "memorymail", "dummymail")

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*", re.I
)


def text(raw: str) -> str:
    return raw


def boolean(raw: str) -> bool:
    lowered = raw.lower()
    if lowered in ("true", "1", "yes", "on"):
        return True
    if lowered in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def integer(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        # int() alone would take "1_000" and other scripts' digits.
        if not re.fullmatch(r"[0-9]{1,20}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(raw)

    return parse


def one_of(*choices: str, fold: Callable[[str], str] = str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if fold(raw) not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return fold(raw)

    return parse


def words(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in raw.split(",") if word.strip())


def host(raw: str) -> str:
    """An address to listen on: a name, an IPv4 address, or an IPv6 address with or without brackets."""
    bare = raw.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare))
    except ValueError:
        if _HOST_NAME.fullmatch(bare):
            return bare
        raise ValueError("must be a host name or an IP address to listen on") from None


def networks(raw: str) -> tuple[str, ...]:
    found = words(raw)
    for network in found:
        try:
            ip_network(network)
        except ValueError:
            raise ValueError("must list IP addresses or networks such as 10.0.0.0/8, separated by commas") from None
    return found


def url(*schemes: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if not raw:
            return raw
        try:
            parts = urlsplit(raw)
            usable = parts.scheme in schemes and (bool(parts.netloc) or bool(parts.path))
            if parts.scheme in ("http", "https"):
                usable = usable and bool(parts.hostname)
            parts.port  # noqa: B018  (raises on a port that is no number)
        except ValueError:
            usable = False
        if not usable or " " in raw:
            raise ValueError(f"must be a URL that starts with {' or '.join(f'{s}://' for s in schemes)}")
        return raw

    return parse


def any_url(raw: str) -> str:
    if raw and not re.match(r"[a-z][a-z0-9+.-]*://", raw):
        raise ValueError("must be a URL such as amqp://user:password@host:5672/")
    return raw


def email_url(raw: str) -> str:
    return url(*EMAIL_SCHEMES)(raw) if not re.match(r"(console|memory|dummy)mail:", raw) else raw


def origins(raw: str) -> tuple[str, ...]:
    found = words(raw)
    for origin in found:
        try:
            parts = urlsplit(origin)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.path or parts.query)
            parts.port  # noqa: B018  (raises on a port that is no number)
        except ValueError:
            usable = False
        if not usable or "*" in origin:
            raise ValueError("must list origins such as https://app.example.com, without a path; * is not taken")
    return found


def credential(raw: str) -> str:
    """A key or token: it goes into a header, so it is one word of ASCII."""
    if not raw.isascii() or re.search(r"\s", raw):
        raise ValueError("must be one word, without spaces")
    return raw


def fernet_keys(raw: str) -> tuple[str, ...]:
    keys = words(raw)
    for key in keys:
        try:
            usable = len(base64.urlsafe_b64decode(key)) == 32
        except (binascii.Error, ValueError):
            usable = False
        if not usable:
            raise ValueError("each key must be 32 bytes in url-safe base64 (44 characters)")
    return keys
