"""Answers as they lie in Redis: compressed, and encrypted under a key that the vault derives from its newest one.

Each is bound to the name that it is stored under, so that it cannot be put in another one's place. After a rotation of
the ring the old ones do not open any more: they are misses, and their time runs out.
"""

import functools
import os
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from keys import vault
from routing.cache.answer import KeptAnswer, Unreadable

# The first byte, so that another form can be told apart.
FORM = b"\x01"
NONCE = 12
# The fastest: events of a stream shrink to a tenth all the same.
LEVEL = 1
# Bytes that an answer may unpack to.
LARGEST = 64 * 1024 * 1024


def sealed(name: bytes, answer: KeptAnswer) -> bytes:
    """`answer` as it may be stored under `name` where others can read and write."""
    return sealed_bytes(name, answer.to_bytes())


def opened(name: bytes, stored: bytes) -> KeptAnswer:
    """What was `sealed` under `name`. Raises `Unreadable` for anything else: cut, changed, moved, of another ring."""
    return KeptAnswer.from_bytes(opened_bytes(name, stored))


def sealed_bytes(name: bytes, plain: bytes) -> bytes:
    """`plain`, compressed and encrypted, bound to `name`."""
    nonce = os.urandom(NONCE)
    packed = zlib.compress(plain, LEVEL)
    return FORM + nonce + _cipher(settings.ENCRYPTION_KEYS).encrypt(nonce, packed, FORM + name)


def opened_bytes(name: bytes, stored: bytes) -> bytes:
    """What `sealed_bytes` made. Raises `Unreadable`."""
    if stored[:1] != FORM:
        raise Unreadable("of another form")
    nonce, ciphertext = stored[1 : 1 + NONCE], stored[1 + NONCE :]
    try:
        packed = _cipher(settings.ENCRYPTION_KEYS).decrypt(nonce, ciphertext, FORM + name)
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(packed, LARGEST)
    except (InvalidTag, ValueError, zlib.error) as error:
        raise Unreadable(type(error).__name__) from None
    if not unpacker.eof:
        raise Unreadable("too large")
    return plain


@functools.lru_cache(maxsize=2)
def _cipher(ring: tuple[str, ...]) -> AESGCM:
    return AESGCM(vault.derived(b"routing.cache.answers"))
