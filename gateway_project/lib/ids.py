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
    noise = f"{random.getrandbits(80):020x}"
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    variant = "89ab"[int(noise[3], 16) & 3]
    return f"{stamp[:8]}-{stamp[8:]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"
