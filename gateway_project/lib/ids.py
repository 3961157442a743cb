"""Time-ordered identifiers."""

import os
import random
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = (0, 0)


def uuid7() -> UUID:
    """A version 7 UUID (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits.

    New rows land side by side in a b-tree, and the id tells when the row was made. Those that one process makes follow
    each other also within a millisecond, and when the clock jumps back (section 6.2, method 2).
    """
    global _last
    ms, noise = time.time_ns() // 1_000_000, int.from_bytes(os.urandom(9), "big")
    with _lock:
        if ms <= _last[0]:
            ms, noise = _last[0], _last[1] + 1 + (noise & 0xFFFF_FFFF)
        _last = (ms, noise)
    # 12 random bits beside the version, 62 beside the variant.
    return UUID(int=ms << 80 | 7 << 76 | (noise >> 62 & 0xFFF) << 64 | 2 << 62 | noise & (1 << 62) - 1)


def uuid7_text() -> str:
    """A version 7 UUID as text, for the request path: no object and no system call.

    It names a request and grants nothing, so that Python's generator, seeded by the system's, is random enough.
    """
    # 12 random bits beside the version, 62 beside the variant.
    random_bits = random.getrandbits(80) & 0x0FFF_3FFF_FFFF_FFFF_FFFF
    whole = time.time_ns() // 1_000_000 << 80 | 0x7000_8000_0000_0000_0000 | random_bits
    text = whole.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
