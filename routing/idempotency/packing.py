"""Compresses an answer while it passes, so that keeping a long stream costs little memory, and no more than a bound."""

import zlib

# Bytes of an answer after compression, beyond which it is not kept. A stream of events packs to a tenth or less.
MOST = 4 * 1024 * 1024
# Bytes before it. A replay has all of them in memory, and what says the same again and again packs to a thousandth.
MOST_UNPACKED = 64 * 1024 * 1024
LEVEL = 1


class Packer:
    """Takes an answer part by part."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL)
        self._parts: list[bytes] = []
        self._size = self._unpacked = 0

    def add(self, part: bytes) -> None:
        """Take the next part."""
        self._unpacked += len(part)
        if self._fits:
            self._take(self._compressor.compress(part))
        else:
            self._parts.clear()

    @property
    def _fits(self) -> bool:
        return self._size <= MOST and self._unpacked <= MOST_UNPACKED

    def _take(self, compressed: bytes) -> None:
        if compressed:
            self._size += len(compressed)
            self._parts.append(compressed)

    def finish(self) -> bytes | None:
        """All of it, compressed; None when that is too large. `zlib.decompress` undoes it."""
        self._take(self._compressor.flush())
        return b"".join(self._parts) if self._fits else None


def packed(body: bytes) -> bytes | None:
    """A whole answer, compressed; None when that is too large."""
    packer = Packer()
    packer.add(body)
    return packer.finish()
