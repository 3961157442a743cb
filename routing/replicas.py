"""Which of several replicas of a model is asked first: the one with the least to do, then by a stable hash.

A replica is put behind each of its pool that has less to do, costs no more and fails no more often: `STEP` of the
score for each. A dearer replica never passes a cheaper one for having less to do, so that raising a price never
raises a rank.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from routing.needs import Needs
from routing.rows import Row
from routing.target_state import Key, TargetState

# More than the reliability of two that fail equally often, by the line below, may differ.
STEP = 0.05
SAME_ERROR_RATE = 0.02


def idler(
    rows: Sequence[Row], states: Sequence[TargetState | None], rates: Mapping[int, float], needs: Needs, caller: str
) -> list[int]:
    """For each of `rows`, how many replicas of its model go before it; `rates`: by position, what share fails."""
    found = [0] * len(rows)
    pools: dict[int, list[_Replica]] = {}
    for position, (row, state) in enumerate(zip(rows, states, strict=True)):
        if row.pool is not None:
            cost = row.input_rate * needs.prompt + row.output_rate * needs.output if row.priced else float("inf")
            busy = (state.in_flight if state is not None else 0, affinity(caller, row.key))
            pools.setdefault(id(row.pool), []).append(
                _Replica(position, busy, cost, rates.get(position, 0.0), row.load)
            )
    for pool in pools.values():
        for replica in pool:
            found[replica.position] = sum(other.goes_before(replica) for other in pool)
    return found


class _Replica(NamedTuple):
    position: int
    # Requests under way, then what decides between those with equally many.
    busy: tuple[int, int]
    cost: float
    error_rate: float
    # Seconds until its server has loaded the model.
    load: float

    def goes_before(self, other: "_Replica") -> bool:
        return (
            self.busy < other.busy
            and self.cost <= other.cost
            and self.error_rate <= other.error_rate + SAME_ERROR_RATE
            and self.load <= other.load
        )


@lru_cache(maxsize=16384)
def affinity(caller: str, key: Key) -> int:
    """A number that is the same in every process: a caller's lowest is its replica while none has more to do.

    Rendezvous hashing: when a replica comes or goes, the callers of the others stay with theirs.
    """
    return int.from_bytes(hashlib.blake2b("\0".join((caller, *key)).encode(), digest_size=8).digest())
