"""Vectors as JSON. Written a few at a time, so that thousands of them keep nobody else waiting."""

import asyncio
import binascii
from collections.abc import AsyncIterator

import orjson

from rag.embedding.client import Embedded, floats

# Numbers that are written at once: about a millisecond.
AT_ONCE = 16_384
# What stands before each vector, and nowhere else.
VECTOR = b'"embedding":'


async def openai_shape(made: Embedded, *, base64: bool) -> bytes:
    """OpenAI's answer: vectors as lists of numbers, or float32 little endian in base64.

    What is read of it again, model and usage, comes first.
    """
    used = sum(made.tokens)
    head = {
        "object": "list", "model": made.model, "usage": {"prompt_tokens": used, "total_tokens": used},
    }  # fmt: skip
    write = _base64 if base64 else _numbers
    parts = [orjson.dumps(head)[:-1], b',"data":[']
    index = 0
    async for vector in _by_turns(made):
        parts.append(b'%b{"object":"embedding","index":%d,' % (b"," if index else b"", index))
        parts += (VECTOR, write(vector), b"}")
        index += 1
    parts.append(b"]}")
    return b"".join(parts)


async def plain_shape(made: Embedded) -> bytes:
    """The simple endpoints' answer: `{embeddings, model, dimensions}`."""
    vectors = [_numbers(vector) async for vector in _by_turns(made)]
    return plain(b"[%b]" % b",".join(vectors), made.model, made.dimension)


def plain(embeddings: bytes, model: str, dimensions: int) -> bytes:
    """The simple endpoints' answer of vectors that are JSON already."""
    about = orjson.dumps({"model": model, "dimensions": dimensions})
    return b'{"embeddings":%b,%b' % (embeddings, about[1:])


async def _by_turns(made: Embedded) -> AsyncIterator[bytes]:
    """The vectors; between some of them the event loop serves others."""
    some = max(1, AT_ONCE // max(made.dimension, 1))
    for index, vector in enumerate(made.vectors):
        if index and index % some == 0:
            await asyncio.sleep(0)
        yield vector


def _numbers(vector: bytes) -> bytes:
    return orjson.dumps(floats(vector).tolist())


def _base64(vector: bytes) -> bytes:
    return b'"%b"' % binascii.b2a_base64(vector, newline=False)
