"""An answer that is kept for its Idempotency-Key fits in memory, packed and unpacked."""

import os
import zlib

from routing.idempotency.packing import MOST, MOST_UNPACKED, Packer, packed


def test_an_answer_comes_back_whole() -> None:
    packer = Packer()
    for part in (b"data: 1\n\n", b"data: 2\n\n"):
        packer.add(part)
    assert zlib.decompress(packer.finish() or b"") == b"data: 1\n\ndata: 2\n\n"


def test_what_does_not_compress_is_bounded() -> None:
    assert packed(os.urandom(MOST + 1)) is None


def test_what_compresses_to_nothing_is_bounded_too() -> None:
    """Else whoever makes a provider say the same for gigabytes could have a replay take all memory."""
    assert packed(bytes(MOST_UNPACKED)) is not None
    packer = Packer()
    for _ in range(MOST_UNPACKED // 2**20 + 2):
        packer.add(bytes(2**20))
    assert packer.finish() is None
