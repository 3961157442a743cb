"""JSON from strangers: the time and memory of reading it are bounded by what it holds, not only by its length."""

from typing import Any

import orjson

# Each value costs some 50 to 100 bytes once it is read, however few it took to write: `[],` is three.
MAX_VALUES = 1_000_000
# Members of objects, and objects and lists, that a request may have: nothing honest has a tenth of them, and each costs
# a microsecond or two, in which nobody else is served. (Answers have more: twenty `top_logprobs` for each token.)
MAX_PARTS = 50_000


class TooManyValues(ValueError):
    """A document of more values than anything honest has."""


def loads(raw: bytes) -> Any:
    """What `raw` says. Raises `orjson.JSONDecodeError`, and `TooManyValues`, which is none."""
    check(raw)
    return orjson.loads(raw)


def loads_request(raw: bytes) -> Any:
    """As `loads`, of a client's request, which has no more than `MAX_PARTS`."""
    if len(raw) > MAX_PARTS:  # each takes a character at least
        check_parts(raw)
        check(raw)
    return orjson.loads(raw)


def check(raw: bytes) -> None:
    """Raise `TooManyValues` when reading `raw` would make more than `MAX_VALUES`.

    Every value but the first is behind a comma, or within a bracket of its own; those in texts count as well.
    """
    # What is shorter cannot have that many.
    if len(raw) > 2 * MAX_VALUES and raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise TooManyValues(f"it has more than {MAX_VALUES} values")


def check_parts(raw: bytes) -> None:
    """Raise `TooManyValues` when `raw` has more than `MAX_PARTS` objects and lists, or members of objects.

    Those in texts do not count: a prompt may be a program, or a table. Some milliseconds for each megabyte that has so
    many of these characters, nothing for others.
    """
    if _parts(raw) <= MAX_PARTS:
        return
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    texts = bare.count(b'"') // 2
    # A member has at most two. Splitting at many more would take as long as reading does.
    if texts > 2 * MAX_PARTS or _parts(b"".join(bare.split(b'"')[::2])) > MAX_PARTS:
        raise TooManyValues(f"it has more than {MAX_PARTS} objects, lists and members")


def _parts(raw: bytes) -> int:
    return max(raw.count(b"[") + raw.count(b"{"), raw.count(b":"))
