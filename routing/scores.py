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

What does not depend on live state is a `Sheet`, kept by its plan for each size of prompt and answer. Sizes of prompts
are estimates, so for scores they are rounded to a sixteenth. A sheet keeps its `Pace` for as long as no speed moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

from analytics.usage import Usage
from routing.policies import Weights
from routing.rows import Row
from routing.target_state import Speeds

COST_EPSILON = 0.0001
TIME_EPSILON = 0.05
LEAST_SPAN = log(10)
LEAST_QUALITY_SPAN = 0.25

# Share of failed requests from which a target goes behind all that fail less.
FAILS_OFTEN = 0.10
# Prompts of so many tokens may have prices of their own.
LADDER = 100_000


@dataclass(slots=True)
class Pace:
    """What a sheet comes to with the `speeds` that were measured; None for a target of which nothing is known."""

    speeds: Sequence[Speeds | None]
    # Until each has answered in full, and its logarithm.
    seconds: list[float]
    logs: list[float]
    scores: list[float]
    # By whether the prompt is long: positions, the first choice first, where only ranks and these scores decide.
    orders: dict[bool, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Sheet:
    """Scores of rows for one size of request, as long as nothing was measured; position n is about row n."""

    output: int
    cost_scores: list[float]
    quality_scores: list[float]
    # The weighted sum if each were the fastest.
    at_best: list[float]
    by_speed: float
    # Until each has answered in full, and its logarithm.
    seconds: list[float]
    logs: list[float]
    scores: list[float]
    # With the speeds that were asked for last.
    pace: Pace | None = None


def sheet_of(rows: Sequence[Row], qualities: Sequence[float], weights: Weights, prompt: int, output: int) -> Sheet:
    """The scores of `rows`, of which there is at least one, for a request of that size; `qualities` are scores."""
    cost_scores = falling(log_of(costs(rows, prompt, output), COST_EPSILON))
    at_best = [
        weights.cost * cost + weights.quality * quality + weights.speed
        for cost, quality in zip(cost_scores, qualities, strict=True)
    ]
    seconds = [row.ttft + output * row.seconds_per_token for row in rows]
    logs = log_of(seconds, TIME_EPSILON)
    scores = slowed(at_best, logs, weights.speed)
    return Sheet(output, cost_scores, list(qualities), at_best, weights.speed, seconds, logs, scores)


def slowed(at_best: Sequence[float], logs: Sequence[float], by_speed: float) -> list[float]:
    """The weighted sums, when speed's part is what `falling` makes of `logs`."""
    least = min(logs)
    loss = by_speed / max(max(logs) - least, LEAST_SPAN)
    return [score - loss * (each - least) for score, each in zip(at_best, logs, strict=True)]


def rounded(tokens: int) -> int:
    """`tokens` to the nearest sixteenth of the next lower power of two."""
    shift = tokens.bit_length() - 5
    return tokens if shift <= 0 else (tokens + (1 << shift >> 1)) >> shift << shift


def costs(rows: Sequence[Row], prompt: int, output: int) -> list[float]:
    """USD that each is estimated to take; one without a known price takes as much as the dearest, at least."""
    found = [cost_of(row, prompt, output) for row in rows]
    dearest = max(found)
    return [cost if row.priced else dearest for row, cost in zip(rows, found, strict=True)]


def cost_of(row: Row, prompt: int, output: int) -> float:
    """USD that a request of that size is estimated to take."""
    if prompt >= LADDER and row.priced:
        rates = row.target.facts.price.rates(Usage(prompt=prompt))
        return float(rates.input * prompt + rates.output * output)
    return row.input_rate * prompt + row.output_rate * output


def log_of(values: Sequence[float], epsilon: float) -> list[float]:
    """The logarithms by which `values` are compared."""
    return [log(value + epsilon) for value in values]


def falling(logs: Sequence[float]) -> list[float]:
    """The score of each of `logs`, of which the least is the best."""
    least = min(logs)
    span = max(max(logs) - least, LEAST_SPAN)
    return [1.0 - (each - least) / span for each in logs]


def rising(values: Sequence[float]) -> list[float]:
    """The score of each of `values`, of which the greatest is the best."""
    best = max(values)
    span = max(best - min(values), LEAST_QUALITY_SPAN)
    return [1.0 - (best - value) / span for value in values]


def pace(sheet: Sheet, rows: Sequence[Row], speeds: Sequence[Speeds | None], *, pooled: bool) -> Pace:
    """The sheet's scores with what was measured of the targets' speeds. It keeps the last it made."""
    kept = sheet.pace
    if kept is not None and kept.speeds == speeds:
        return kept
    seconds, logs, scores = sheet.seconds, sheet.logs, sheet.scores
    if any(speeds):
        seconds, logs = measured(sheet, rows, speeds, pooled=pooled)
        scores = slowed(sheet.at_best, logs, sheet.by_speed)
    sheet.pace = made = Pace(speeds, seconds, logs, scores)
    return made


def measured(
    sheet: Sheet, rows: Sequence[Row], speeds: Sequence[Speeds | None], *, pooled: bool
) -> tuple[list[float], list[float]]:
    """The sheet's seconds and their logarithms, with what was measured of the targets."""
    output = sheet.output
    seconds, logs = sheet.seconds.copy(), sheet.logs.copy()
    for position, each in enumerate(speeds):
        if each is None:
            continue
        ttft, speed = each
        row = rows[position]
        took = row.ttft if ttft is None else ttft + row.load
        took += output / speed if speed else output * row.seconds_per_token
        seconds[position], logs[position] = took, log(took + TIME_EPSILON)
    if pooled:
        _share(rows, speeds, output, seconds, logs)
    return seconds, logs


def _share(
    rows: Sequence[Row], speeds: Sequence[Speeds | None], output: int, seconds: list[float], logs: list[float]
) -> None:
    """Replicas count as equally fast, so that who has less to do decides among them: the mean of what was measured."""
    pools: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        if row.pool is not None:
            pools.setdefault(id(row.pool), []).append(position)
    for members in pools.values():
        known = [each for position in members if (each := speeds[position]) is not None]
        first = [each.ttft_s for each in known if each.ttft_s is not None]
        rates = [each.tokens_per_s for each in known if each.tokens_per_s]
        for position in members:
            row = rows[position]
            ttft = sum(first) / len(first) + row.load if first else row.ttft
            took = ttft + output * (len(rates) / sum(rates) if rates else row.seconds_per_token)
            seconds[position], logs[position] = took, log(took + TIME_EPSILON)
