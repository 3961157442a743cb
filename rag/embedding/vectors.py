"""Vectors as bytes: little-endian float32, one after the other. No numpy: web processes hold them, too."""

import struct
import sys
from array import array
from collections.abc import Iterator

from pgvector import HalfVector

# What a half-precision float can hold; nothing beyond comes of a normalised vector.
_HALF_MOST = 65_504.0


def floats(vector: bytes) -> "array[float]":
    """The vector's numbers."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def pack(numbers: "list[float] | array[float]") -> bytes:
    """The bytes of these numbers."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


def split(body: bytes | memoryview, dimension: int) -> Iterator[bytes]:
    """The vectors in a block of them."""
    width = dimension * 4
    for start in range(0, len(body), width):
        yield bytes(body[start : start + width])


def halfvec(vector: bytes) -> HalfVector:
    """The vector in half precision, as pgvector's psycopg and Django adapters take it."""
    return HalfVector([min(max(number, -_HALF_MOST), _HALF_MOST) for number in floats(vector)])


def halfvec_binary(vector: bytes) -> bytes:
    """The vector in pgvector's binary form of `halfvec` (for `COPY … WITH (FORMAT BINARY)`): big-endian, counted."""
    numbers = floats(vector)
    return struct.pack(f">HH{len(numbers)}e", len(numbers), 0, *numbers)


def to_halfvec_text(vector: bytes) -> str:
    """The vector as SQL's text form of `vector` and `halfvec`."""
    return "[" + ",".join(f"{number:.7g}" for number in floats(vector)) + "]"
