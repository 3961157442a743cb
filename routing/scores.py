"""How good each candidate is for one request: cost, quality and speed, each from 0 to 1 among the candidates.

Cost and time are compared by their logarithms, because a model at a tenth of the price is as far ahead of the next
as that is of one at ten times its own; on a straight line the dearest model would make all others look alike:

    score = 1 - (ln(value + epsilon) - ln(least + epsilon)) / max(ln(most + epsilon) - ln(least + epsilon), ln 10)

So the best has 1, free models have 1, and the worst has 0 when it is at least ten times the best; candidates that are
closer together differ less. Epsilon is what nobody minds: a hundredth of a cent, a twentieth of a second.

Quality is on a scale of its own: score = 1 - (best - quality) / max(best - worst, 0.25).

A target's reliability is the square of the share of requests that it answers: who fails costs its own time and that of
whoever is asked then.

A rise of one candidate's price never raises its own score, nor lowers another's: `tests/routing` holds that.
"""

from collections.abc import Sequence
from math import log

from routing.needs import Needs
from routing.rows import Row
from routing.target_state import TargetState

COST_EPSILON = 0.0001
TIME_EPSILON = 0.05
LEAST_SPAN = log(10)
LEAST_QUALITY_SPAN = 0.25

# Share of failed requests from which a target goes behind all that fail less.
FAILS_OFTEN = 0.10

States = Sequence[TargetState | None]


def falling(values: Sequence[float], epsilon: float) -> list[float]:
    """The score of each of `values`, of which the least is the best."""
    logs = [log(value + epsilon) for value in values]
    least = min(logs)
    span = max(logs) - least
    if span < LEAST_SPAN:
        span = LEAST_SPAN
    return [1.0 - (each - least) / span for each in logs]


def rising(values: Sequence[float]) -> list[float]:
    """The score of each of `values`, of which the greatest is the best."""
    best = max(values)
    span = max(best - min(values), LEAST_QUALITY_SPAN)
    return [1.0 - (best - value) / span for value in values]


def costs(rows: Sequence[Row], needs: Needs, all_priced: bool) -> list[float]:
    """USD that each is estimated to take; one without a known price takes as much as the dearest, at least."""
    prompt, output = needs.prompt, needs.output
    found = [row.input_rate * prompt + row.output_rate * output for row in rows]
    if not all_priced:
        dearest = max(found)
        found = [cost if row.priced else dearest for row, cost in zip(rows, found, strict=True)]
    return found


def times(rows: Sequence[Row], states: States, needs: Needs, pooled: bool) -> list[float]:
    """Seconds until each has answered in full: as it was measured, else as such a target does as a rule."""
    output = needs.output
    found = []
    for row, state in zip(rows, states, strict=True):
        ttft, per_token = row.ttft, row.seconds_per_token
        if state is not None:
            measured, speed = state.ttft_s, state.tokens_per_s
            if measured is not None:
                ttft = measured + row.load
            if speed:
                per_token = 1.0 / speed
        found.append(ttft + output * per_token)
    if pooled:
        _share(rows, states, output, found)
    return found


def _share(rows: Sequence[Row], states: States, output: int, found: list[float]) -> None:
    """Replicas count as equally fast, so that who has less to do decides among them: the mean of what was measured."""
    by_pool: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if row.pool is not None:
            by_pool.setdefault(id(row.pool), []).append(index)
    for members in by_pool.values():
        known = [state for index in members if (state := states[index]) is not None]
        first = [state.ttft_s for state in known if state.ttft_s is not None]
        speed = [state.tokens_per_s for state in known if state.tokens_per_s]
        for index in members:
            row = rows[index]
            ttft = sum(first) / len(first) + row.load if first else row.ttft
            per_token = len(speed) / sum(speed) if speed else row.seconds_per_token
            found[index] = ttft + output * per_token
