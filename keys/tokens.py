"""The gateway key's format: `gw_`, 30 random base62 characters (178 bits), 6 characters of checksum.

The checksum is the CRC-32 of what stands before it, in base62. It is no secret: it lets a mistyped or made-up key be
refused, and a leaked one be recognised by scanners, without asking the database. Only `digest` is stored.
"""

import hashlib
import re
import secrets
import zlib

from keys import vault

PREFIX = "gw_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 30
CHECKSUM_LENGTH = 6
LENGTH = len(PREFIX) + RANDOM_LENGTH + CHECKSUM_LENGTH
# How much of a key is kept to tell it from others.
SHOWN_PREFIX = 8
SHOWN_END = 4

_format = re.compile(f"{PREFIX}[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}")


def generate() -> str:
    """A new gateway key."""
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether `text` can be a gateway key at all. Asks nothing but `text`."""
    return _format.fullmatch(text) is not None and _checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def digest(text: str) -> bytes:
    """What is stored and looked up in place of the key: BLAKE2b keyed with the installation's pepper (32 bytes).

    RFC 7693's keyed mode is a MAC of its own; it takes a tenth of the time of OpenSSL 3's HMAC, on every request.
    """
    return hashlib.blake2b(text.encode(), key=vault.pepper(), digest_size=32).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
