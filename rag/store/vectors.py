"""Vectors on their way into SQL: checked, and in pgvector's binary form."""

import math
from dataclasses import dataclass

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from rag.embedding.vectors import floats, halfvec_binary, to_halfvec_text
from rag.store.base import BadVector

# Half precision ends here; and a vector this short is zero in it.
_MOST, _LEAST = 65_504.0, 1e-6


@dataclass(frozen=True, slots=True)
class Half:
    """A vector as a statement's parameter, `%b::halfvec`."""

    vector: bytes


class _HalfDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Half) -> Buffer | None:
        return halfvec_binary(obj.vector)


def understand(cursor: "psycopg.Cursor[tuple[object, ...]]") -> None:
    """Let a cursor take `Half` as a parameter. Its type is told by the cast: pgvector's has no fixed number."""
    cursor.adapters.register_dumper(Half, _HalfDumper)


def check(vector: bytes, dimension: int) -> None:
    """Raises BadVector unless it has the space's length, is finite, and not zero."""
    if len(vector) != 4 * dimension:
        raise BadVector(f"The vector has {len(vector) // 4} components; this space's have {dimension}.")
    sizes = list(map(abs, floats(vector)))
    # One number that is none spoils the sum.
    if not math.isfinite(sum(sizes)) or max(sizes) > _MOST:
        raise BadVector("The vector has a component that is no finite number.")
    if max(sizes) < _LEAST:
        raise BadVector("The vector is zero.")


def literal(vector: bytes, dimension: int) -> str:
    """A checked vector as SQL's text. Raises BadVector."""
    check(vector, dimension)
    return to_halfvec_text(vector)
