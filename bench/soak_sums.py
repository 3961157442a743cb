"""What a soak came to: the provider's own count beside the ledger, record by record, and who was not served."""

import importlib.util
import json
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from bench.gateway import Gateway
from bench.soak_traffic import BUDGET_USD, LIMIT, WINDOW, Answer, Traffic

# Seconds that the ledger has to take in what is spooled.
PATIENCE = 30.0
# Seconds after a killed process in which its clients may notice.
FELT = 3.0
# How a refusal tells that no provider answered; the lines that quote it are cut.
NOBODY = ("No provider could answer", "Every provider that was asked took too long")
# What the ledger's estimates may differ from the provider's own count, in sum, as a share of it.
CLOSE = 0.05
# What a provider may have sent beyond what came through, of streams that their clients left.
LATE = 0.5

_ROWS = """
SELECT id::text, status, prompt_tokens, cached_tokens, completion_tokens, usage_estimated, cost_usd, cache, model,
       key_id::text,
       (SELECT coalesce(sum((attempt ->> 'cost_usd')::numeric), 0) FROM jsonb_array_elements(attempts) AS attempt)
FROM analytics_usagerecord WHERE workspace_id = %s
"""
_ROLLED_UP = """
SELECT coalesce(sum(requests), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
       coalesce(sum(cost_usd), 0)
FROM analytics_dailyusage WHERE workspace_id = %s
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the ledger."""

    id: str
    status: int
    prompt: int
    cached: int
    completion: int
    estimated: bool
    cost: Decimal
    cache: str
    model: str
    key: str
    # The part of its cost that is for prompts which were answered too late, and are estimated.
    too_late: Decimal


def report(gateway: Gateway, upstream: str, traffic: Traffic) -> list[str]:
    """Print the sums; what is wrong with them, in sentences."""
    answers = [answer for answer in traffic.answers if answer.request_id]
    rows = _rows(gateway, traffic, len({answer.request_id for answer in answers if answer.whole}))
    told = {
        int(number): [tuple(usage) for usage in usages]
        for number, usages in httpx.get(f"{upstream}/_told", trust_env=False, timeout=60).json().items()
    }
    flaws = _unserved(traffic) + _missing(answers, rows)
    flaws += _wrong_usage([answer for answer in answers if answer.kind != "untold"], rows, told)
    untold = httpx.get(f"{upstream}/_untold", trust_env=False, timeout=60).json()
    flaws += _wrong_estimates(answers, rows, {int(number): usage for number, usage in untold.items()})
    flaws += _limits(traffic, rows)
    flaws += _rollups(gateway, traffic, rows)
    counted = Counter(answer.kind for answer in traffic.answers)
    print(f"{len(traffic.answers):,} requests ({', '.join(f'{kind} {n:,}' for kind, n in counted.most_common())})")
    print(f"{len(rows):,} records, {sum(row.cost for row in rows.values()):f} USD")
    return flaws


def _rows(gateway: Gateway, traffic: Traffic, expected: int) -> dict[str, Row]:
    """The ledger's records, once there are as many as expected and no more come."""
    deadline, before = time.monotonic() + PATIENCE, -1
    while True:
        with gateway.database() as connection:
            found = [Row(*row) for row in connection.execute(_ROWS, [traffic.workspace])]
        settled = len(found) >= expected and len(found) == before
        if settled or time.monotonic() > deadline:
            return {row.id: row for row in found}
        before = len(found)
        time.sleep(2)


def _unserved(traffic: Traffic) -> list[str]:
    """Requests that failed, but for those that nobody could have served."""
    kills = [at for at, words in traffic.notes if "killed" in words]
    failed = [answer for answer in traffic.answers if answer.problem]
    # Whoever was being served when the process died; a request of the soak takes a second or two.
    excused = [answer for answer in failed if any(answer.at - FELT < at < answer.at + FELT for at in kills)]
    # The key of such a one is not free before its process counts as dead.
    cut_off = {answer.number for answer in excused}
    excused += [answer for answer in failed if answer.status == 409 and answer.number in cut_off]
    # An Idempotency-Key that cannot be looked up is refused in words: better than to be billed twice.
    unsure = [answer for answer in failed if answer.status == 503 and "Idempotency-Key" in answer.problem]
    # Each provider failed or hung, one after the other.
    ill = _ill(traffic)
    unlucky = [
        answer
        for answer in failed
        if any(code in answer.problem for code in NOBODY) and any(start <= answer.at < end for start, end in ill)
    ]
    others = [answer for answer in failed if not any(answer in known for known in (excused, unsure, unlucky))]
    print(
        f"failed: {len(others)}; cut off by a killed process: {len(excused)}; "
        f"with an Idempotency-Key, refused while Postgres stood still: {len(unsure)}; "
        f"no provider could answer, all being ill: {len(unlucky)}"
    )
    by_problem = Counter((answer.kind, answer.problem[:200]) for answer in others)
    return [f"{count} of {kind}: {problem}" for (kind, problem), count in by_problem.most_common(8)]


def _ill(traffic: Traffic) -> list[tuple[float, float]]:
    """From when to when the providers were ill."""
    spans: list[tuple[float, float]] = []
    begun = None
    for at, words in traffic.notes:
        if words.endswith("is ill"):
            begun = at
        elif words.endswith("is well") and begun is not None:
            spans.append((begun - FELT, at))
            begun = None
    return spans


def _missing(answers: list[Answer], rows: dict[str, Row]) -> list[str]:
    """Whoever has an answer's last byte has a record; of what a killed process did not finish there is none."""
    ids = Counter(answer.request_id for answer in answers if answer.whole)
    missing = ids.keys() - rows.keys()
    twice = [id for id, count in ids.items() if count > 1]
    print(f"answered requests: {len(ids):,}; missing from the ledger: {len(missing)}; ids given twice: {len(twice)}")
    lost = [answer for answer in answers if answer.request_id in missing]
    flaws = [f"{len(missing)} answered requests have no record, such as {lost[0]}"] if missing else []
    return flaws + ([f"{len(twice)} request ids were given twice"] if twice else [])


def _wrong_usage(answers: list[Answer], rows: dict[str, Row], told: dict[int, list[tuple[Any, ...]]]) -> list[str]:
    """Each record's tokens must be what the provider said for its request, and its cost what they cost."""
    prices = {model: _price(model) for model in {row.model for row in rows.values()} if model}
    wrong: list[str] = []
    counted = Counter[str]()
    for answer in answers:
        row = rows.get(answer.request_id)
        if row is None or answer.status >= 400:
            continue
        if answer.kind == "retried" and not (row.prompt or row.completion or row.cost):
            counted["replayed"] += 1
            continue
        if row.cache == "hit":
            counted["from the cache"] += 1
            if row.cost:
                wrong.append(f"{row.id}: a cached answer cost {row.cost}")
            continue
        if row.estimated:
            counted["estimated"] += 1
            if answer.whole:  # what came to its end has the provider's word with it
                said = told.get(answer.number)
                wrong.append(f"{row.id} ({answer.kind}): the ledger has an estimate, the provider said {said}")
            continue
        counted["counted by the provider"] += 1
        usage = row.prompt, row.cached, row.completion
        if usage not in told.get(answer.number, []):
            wrong.append(
                f"{row.id} ({answer.kind}): the ledger has {usage}, the provider said {told.get(answer.number)}"
            )
        fresh, cached, out = prices[row.model]
        cost = (row.prompt - row.cached) * fresh + row.cached * cached + row.completion * out
        if cost + row.too_late != row.cost:
            wrong.append(f"{row.id}: cost {row.cost}, should be {cost} and {row.too_late} for late attempts")
    print("records of answers: " + ", ".join(f"{count:,} {what}" for what, count in counted.items()))
    return wrong[:5] + ([f"… and {len(wrong) - 5} more"] if len(wrong) > 5 else [])


def _wrong_estimates(answers: list[Answer], rows: dict[str, Row], untold: dict[int, list[int]]) -> list[str]:
    """What the provider never told is flagged as estimated, and comes to what it counted for itself, nearly.

    Of a stream that its client left, the provider has sent more than the gateway has seen: the more, the later word of
    it arrives.
    """
    compared = [
        (answer.whole, row, untold[answer.number])
        for answer in answers
        if answer.kind == "untold" and (row := rows.get(answer.request_id)) and answer.number in untold
        if row.status == 200 or row.completion
    ]
    flaws = [
        f"{row.id}: nobody told what it used, and that is not flagged" for _, row, _ in compared if not row.estimated
    ]
    prompts = [(row.prompt, prompt) for _, row, (prompt, _) in compared]
    read, left = (
        [(row.completion, completion) for whole, row, (_, completion) in compared if whole is wanted]
        for wanted in (True, False)
    )
    for what, tokens in {"prompts": prompts, "answers": read, "answers that were left": left}.items():
        ours, theirs = sum(estimated for estimated, _ in tokens), sum(counted for _, counted in tokens)
        apart = (ours - theirs) / max(1, theirs)
        print(
            f"{len(tokens):,} untold {what}: estimated {ours:,} tokens, the provider counted {theirs:,} ({apart:+.1%})"
        )
        if apart > CLOSE or apart < -(CLOSE if tokens is not left else LATE):
            flaws.append(f"the estimates of {what} are {apart:+.1%} from what the provider counted")
    return flaws[:5]


def _limits(traffic: Traffic, rows: dict[str, Row]) -> list[str]:
    """No key spent more than its budget, nor was served more often than its limit lets it."""
    flaws = []
    spent = sum((row.cost for row in rows.values() if row.key == traffic.keys["budget"]["id"]), Decimal(0))
    refused = sum(answer.kind == "budgeted" and answer.status == 402 for answer in traffic.answers)
    print(f"a budget of {BUDGET_USD} USD: spent {spent:f}, {refused} requests refused")
    if spent > Decimal(BUDGET_USD):
        flaws.append(f"the budget of {BUDGET_USD} was overspent: {spent}")
    # A request is admitted between its being sent and its being answered, so a span of the clients' clock is a little
    # shorter than the gateway's.
    served = sorted(answer.at for answer in traffic.answers if answer.kind == "limited" and answer.status == 200)
    fullest = max((sum(at <= other < at + WINDOW - 1 for other in served) for at in served), default=0)
    print(f"a limit of {LIMIT} requests in {WINDOW} s: at most {fullest} were served")
    if fullest > LIMIT * 1.1:
        flaws.append(f"the limit of {LIMIT} was exceeded: {fullest}")
    return flaws


def _rollups(gateway: Gateway, traffic: Traffic, rows: dict[str, Row]) -> list[str]:
    with gateway.database() as connection:
        rolled = connection.execute(_ROLLED_UP, [traffic.workspace]).fetchone()
    ledger = (
        len(rows), sum(row.prompt for row in rows.values()), sum(row.completion for row in rows.values()),
        sum((row.cost for row in rows.values()), Decimal(0)),
    )  # fmt: skip
    return [] if rolled == ledger else [f"the rollups say {rolled}, the ledger {ledger}"]


def _price(model: str) -> tuple[Decimal, Decimal, Decimal]:
    """USD per fresh, cached and written token, straight from the price map that litellm packages."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).with_name("model_prices_and_context_window_backup.json")
    entry = json.loads(path.read_text(), parse_float=Decimal)[model]
    return tuple(
        Decimal(entry[name])
        for name in ("input_cost_per_token", "cache_read_input_token_cost", "output_cost_per_token")
    )  # type: ignore[return-value]
