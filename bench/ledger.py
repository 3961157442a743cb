"""Whether the ledger holds exactly one record for each request that was answered, and the right one."""

import importlib.util
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

from bench import wire
from bench.gateway import PROVIDER, Gateway

# By model, what the records since the benchmark began come to.
_SUMS = """
SELECT model, count(*), count(*) FILTER (WHERE status = 200 AND provider = %s AND stream = %s AND NOT usage_estimated),
       sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
FROM analytics_usagerecord WHERE workspace_id = %s AND created_at >= %s AND model = %s GROUP BY model
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
    model, stream = wire.KINDS[kind].model, wire.KINDS[kind].stream
    with gateway.database() as connection:
        row = connection.execute(_SUMS, [PROVIDER, stream, gateway.workspace, gateway.since, model]).fetchone()
    expected = (
        model,
        requests,
        requests,
        requests * wire.PROMPT_TOKENS,
        requests * wire.COMPLETION_TOKENS,
        requests * price(model),
    )
    if row == expected:
        return []
    return [f"{kind}: records, good ones, prompt tokens, completion tokens and cost are {row}, should be {expected}"]
