"""Requests, made ready once and sent many times: nothing of a name or a secret is checked or quoted per request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from yarl import URL

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")


class Origin(NamedTuple):
    """Where connections lead, and what they are pooled by."""

    tls: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its body. `head` ends after a header's line; it may hold a secret."""

    origin: Origin
    head: bytes = field(repr=False)

    @classmethod
    def prepare(cls, method: str, url: URL | str, headers: Mapping[str, str]) -> "Request":
        """A request of `method` for `url` with `headers`, `Host` added; the fragment and credentials are left out.

        Raises `ValueError`, without quoting what was given, when that is no `http(s)` URL of a host, or a header could
        break out of its line.
        """
        url = URL(url)
        host, port = url.raw_host, url.port
        if url.scheme not in ("http", "https") or not host or not port:
            raise ValueError("the URL is none of an HTTP server")
        target, authority = url.raw_path_qs.encode(), url.host_port_subcomponent
        if not _TARGET.fullmatch(target) or authority is None:
            raise ValueError("the URL has characters that a URL cannot have")
        lines = [b"%b %b HTTP/1.1\r\n" % (method.encode(), target)]
        lines += [header(name, value) for name, value in {"Host": authority, **headers}.items()]
        return cls(Origin(url.scheme == "https", host, port), b"".join(lines))

    def wire(self, body: bytes | None = None, more: bytes = b"") -> bytes:
        """The head as it is sent before `body` (None: a request that has none); `more` are further header lines."""
        if body is None:
            return b"%b%b\r\n" % (self.head, more)
        return b"%b%bContent-Length: %d\r\n\r\n" % (self.head, more, len(body))


def header(name: str, value: str) -> bytes:
    """A header's line. Raises `ValueError`, without quoting the value, when it would be more than that."""
    raw_name, raw_value = name.encode(), value.encode()
    if not _TOKEN.fullmatch(raw_name):
        raise ValueError("a header's name has characters that it cannot have")
    if not _VALUE.fullmatch(raw_value):
        raise ValueError(f"the value of the header {name} has control characters")
    return b"%b: %b\r\n" % (raw_name, raw_value)
