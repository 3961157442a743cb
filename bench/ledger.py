"""Whether the ledger holds exactly one record for each request that was answered, and the right one."""

import importlib.util
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

from bench import wire
from bench.gateway import PROVIDER, Gateway

# By the model that answered, what the records of the requests for one name come to since the benchmark began.
_SUMS = """
SELECT model, count(*), count(*) FILTER (WHERE status = 200 AND provider = %s AND stream = %s AND NOT usage_estimated),
       sum(prompt_tokens), sum(completion_tokens), sum(cost_usd + saved_usd), count(*) FILTER (WHERE cache = 'hit')
FROM analytics_usagerecord WHERE workspace_id = %s AND created_at >= %s AND requested_model = %s GROUP BY model
"""
_IDS = "SELECT id::text FROM analytics_usagerecord WHERE workspace_id = %s AND created_at >= %s"


def price(model: str) -> Decimal:
    """What one of the benchmark's requests costs in USD, straight from the price map that litellm packages."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).with_name("model_prices_and_context_window_backup.json")
    prices = json.loads(path.read_text(), parse_float=Decimal)[model]
    prompt, completion = prices["input_cost_per_token"], prices["output_cost_per_token"]
    return Decimal(wire.PROMPT_TOKENS * prompt + wire.COMPLETION_TOKENS * completion)


def flaws(gateway: Gateway) -> list[str]:
    """What is wrong with the ledger, in sentences; empty when it is exact."""
    answered = Counter[str]()
    returned: list[str] = []
    for kind, outcome in gateway.sent:
        answered[kind] += outcome.answered
        returned += outcome.request_ids
    found: list[str] = []
    with gateway.database() as connection:
        recorded = [row[0] for row in connection.execute(_IDS, [gateway.workspace, gateway.since])]
        for kind, requests in answered.items():
            found += _wrong_sums(gateway, kind, requests)
    if len(set(returned)) != answered.total():
        found.append(f"{answered.total()} answers carried {len(set(returned))} different x-request-ids")
    if len(recorded) != answered.total():
        found.append(f"{answered.total()} requests were answered, the ledger holds {len(recorded)} records")
    if strangers := set(returned) ^ set(recorded):
        found.append(f"{len(strangers)} ids stand only in answers or only in the ledger, such as {min(strangers)}")
    return found


def _wrong_sums(gateway: Gateway, kind: str, requests: int) -> list[str]:
    stream, name = wire.KINDS[kind].stream, gateway.model(kind)
    with gateway.database() as connection:
        rows = connection.execute(_SUMS, [PROVIDER, stream, gateway.workspace, gateway.since, name]).fetchall()
    models = {row[0] for row in rows}
    found = []
    if kind != "auto" and models != {wire.KINDS[kind].model}:
        found.append(f"{kind}: answered by {models}")
    if sum(row[1] for row in rows) != requests:
        found.append(f"{kind}: {requests} requests, {sum(row[1] for row in rows)} records")
    for row in rows:
        model, count = row[:2]
        # Of requests that are all the same, the first one asks, and those that come meanwhile wait for its answer.
        hits = count - 1 if wire.KINDS[kind].cached else 0
        expected = (
            model, count, count, count * wire.PROMPT_TOKENS, count * wire.COMPLETION_TOKENS, count * price(model), hits,
        )  # fmt: skip
        if row != expected:
            told = "records, good ones, tokens in and out, what they cost or saved, and hits"
            found.append(f"{kind}: {told} are {row}, should be {expected}")
    return found
