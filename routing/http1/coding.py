"""Undoes a `Content-Encoding` piece by piece. We ask for none; some servers compress all the same."""

import zlib
from typing import Final

from routing.http1.errors import NotHttp

# Bytes that come out at a time, however small what goes in is: a megabyte may have been packed into a kilobyte.
PIECE: Final = 256 * 1024
_GZIP = frozenset({"gzip", "x-gzip"})


class Unpacker:
    """One body's decoder: give it what came with `feed`, then call `piece` while there is `more`."""

    def __init__(self, coding: str) -> None:
        self._known = coding in _GZIP or coding == "deflate"
        self._gzip = coding in _GZIP
        self._inflate = zlib.decompressobj(31)
        self._packed = b""
        # Whether something came, and the end of it did not.
        self._begun = self._cut = False
        self.more = False

    def feed(self, packed: bytes) -> None:
        """Take what came next, not empty. Raises `NotHttp` when the coding is none that is known."""
        if not self._known:
            raise NotHttp("it is encoded in a way that was not asked for")
        if not self._begun:
            self._begun = self._cut = True
            if not self._gzip:
                # `deflate` should be zlib's format (RFC 9110, 8.4.1.2); some send it without zlib's frame.
                self._inflate = zlib.decompressobj(15 if packed[0] & 0x0F == 8 else -15)
        self._packed = packed
        self.more = True

    def piece(self) -> bytes:
        """The next bytes, at most `PIECE`; may be empty. Raises `NotHttp` when that is not in the coding."""
        try:
            piece = self._inflate.decompress(self._packed, PIECE)
        except zlib.error:
            raise NotHttp("its content encoding is broken") from None
        if self._inflate.eof:
            if self._inflate.unused_data:
                raise NotHttp("something follows its content encoding's end")
            self._cut = self.more = False
        else:
            self._packed = self._inflate.unconsumed_tail
            # zlib may have taken in everything and still hold something back.
            self.more = bool(self._packed) or len(piece) == PIECE
        return piece

    def end(self) -> None:
        """Nothing more came. Raises `NotHttp` when something is missing."""
        if self._cut:
            raise NotHttp("its content encoding is cut off")
