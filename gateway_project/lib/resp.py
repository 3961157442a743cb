"""Redis' protocol, RESP2, as far as a client needs it: commands to bytes, bytes to replies."""

from collections.abc import Iterator, Sequence
from typing import Any

# What a command may be made of. Text is sent as UTF-8.
Part = bytes | str | int | float

_CRLF = b"\r\n"
_SIMPLE, _ERROR, _INTEGER, _BULK, _ARRAY = b"+-:$*"


class NotRedis(Exception):
    """What came is no reply of a Redis."""


class ErrorReply(Exception):
    """A reply that says what was wrong. `code` is its first word, such as `NOSCRIPT`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.partition(" ")[0]


class _Incomplete(Exception):
    """The reply needs so many bytes in all, as far as it can be told yet."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


def command(parts: Sequence[Part]) -> bytes:
    """A command as it is sent."""
    pieces = [b"*%d\r\n" % len(parts)]
    for part in parts:
        if type(part) is str:
            part = part.encode()
        elif type(part) is not bytes:
            part = repr(part).encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(part), part))
    return b"".join(pieces)


class Replies:
    """Takes what the socket brings, in any pieces, and gives the replies that are complete.

    An integer is an `int`, a string `bytes`, an array a `list`, nil `None`, an error an `ErrorReply` (not raised).
    """

    def __init__(self) -> None:
        self._rest = b""
        self._pieces: list[bytes] = []
        self._have = self._needed = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        """The replies that `data` completes. Raises `NotRedis`; nothing can be read after that."""
        self._have += len(data)
        if self._have < self._needed:
            # A long value comes in many pieces, which are joined once.
            self._pieces.append(data)
            return
        buffer = b"".join((self._rest, *self._pieces, data)) if self._rest else data
        self._pieces.clear()
        at = self._needed = 0
        try:
            while at < len(buffer):
                reply, at = _read(buffer, at)
                yield reply
        except _Incomplete as error:
            self._needed = error.needed - at
        except ValueError:
            raise NotRedis("a length or a number is none") from None
        self._rest = buffer[at:]
        self._have = len(self._rest)


def _read(buffer: bytes, at: int) -> tuple[Any, int]:
    """The reply that begins at `at`, and where the next one begins."""
    end = buffer.find(_CRLF, at)
    if end < 0:
        raise _Incomplete(len(buffer) + 1)
    kind, line = buffer[at], buffer[at + 1 : end]
    at = end + 2
    if kind == _INTEGER:
        return int(line), at
    if kind == _BULK:
        length = int(line)
        if length < 0:
            return None, at
        end = at + length
        if len(buffer) < end + 2:
            raise _Incomplete(end + 2)
        return buffer[at:end], end + 2
    if kind == _ARRAY:
        length = int(line)
        if length < 0:
            return None, at
        items = []
        for _ in range(length):
            item, at = _read(buffer, at)
            items.append(item)
        return items, at
    if kind == _SIMPLE:
        return line, at
    if kind == _ERROR:
        return ErrorReply(line.decode("utf-8", "replace")), at
    raise NotRedis(f"a reply begins with byte {kind}")
