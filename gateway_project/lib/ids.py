"""Time-ordered identifiers."""

import os
import random
import time
from uuid import UUID


def uuid7(unix_ms: int | None = None) -> UUID:
    """A version 7 UUID (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits.

    New rows land side by side in a b-tree, and the id tells when the row was made.
    """
    ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    noise = int.from_bytes(os.urandom(10), "big")
    value = (ms & 0xFFFF_FFFF_FFFF) << 80 | noise
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return UUID(int=value)


def uuid7_text() -> str:
    """A version 7 UUID as text, for the request path: no object and no system call.

    It names a request and grants nothing, so that Python's generator, seeded by the system's, is random enough.
    """
    noise = f"{random.getrandbits(80):020x}"
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    variant = "89ab"[int(noise[3], 16) & 3]
    return f"{stamp[:8]}-{stamp[8:]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"
