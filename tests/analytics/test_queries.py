"""What a request's cost adds up from, and how the ledger's lists find their rows among many."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection

from accounts.access import Caller
from analytics import pricing, queries
from analytics.queries import Filters
from analytics.usage import Usage
from tests.analytics.ledger import NOON, record

DAY = timedelta(days=1)


def test_the_latest_come_first(owner: Caller) -> None:
    made = [record(owner.workspace, minutes).id for minutes in range(4)]
    assert [row.id for row in queries.latest(owner, 2)] == [made[3], made[2]]


@pytest.mark.parametrize(
    ("kind", "model", "usage"),
    [
        ("openai", "gpt-5", Usage(1200, 1000, 0, 300, 100)),
        ("anthropic", "claude-sonnet-4-5", Usage(3100, 2000, 1000, 50, cache_write_1h=400)),
        ("openai", "gpt-audio", Usage(1000, 0, 0, 1000, audio_prompt=400, audio_completion=500)),
        ("gemini", "gemini-2.5-pro", Usage(300_000, 5, 0, 10, 9)),
        ("deepseek", "deepseek-chat", Usage(100, 64, 0, 7)),
    ],
)
def test_cost_lines_add_up_to_the_cost(owner: Caller, kind: str, model: str, usage: Usage) -> None:
    price = pricing.price_for(kind, model, False)
    row = record(
        owner.workspace,
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cached,
        completion_tokens=usage.completion,
        reasoning_tokens=usage.reasoning,
        cost_usd=pricing.cost(price, usage),
        price=pricing.record(price, usage),
    )
    row.refresh_from_db()
    lines = queries.cost_lines(row)
    assert sum(line.cost for line in lines) == row.cost_usd
    assert sum(line.tokens for line in lines) == usage.prompt + usage.completion


def test_a_bill_of_the_providers_own_has_no_lines(owner: Caller) -> None:
    usage = Usage(10, 0, 0, 10, reported_cost=Decimal("0.5"))
    row = record(owner.workspace, price=pricing.record(pricing.price_for("openai", "gpt-5", False), usage))
    assert queries.cost_lines(row) == []


@pytest.fixture
def crowded(owner: Caller, stranger: Caller) -> Caller:
    """A workspace with 20,000 requests, beside another's."""
    first = record(owner.workspace)
    record(stranger.workspace)
    names = [str(field.column) for field in first._meta.concrete_fields]
    changed = {
        "id": "gen_random_uuid()",
        "created_at": "t.created_at - n * interval '1 minute'",
        "status": "CASE WHEN n % 997 = 0 THEN 503 ELSE 200 END",
        "model": "CASE WHEN n % 991 = 0 THEN 'rare' ELSE 'gpt-5' END",
        "key_id": "md5((n % 500)::text)::uuid",
        "client_request_id": "CASE WHEN n % 10 = 0 THEN 'client-' || n ELSE '' END",
    }
    values = ", ".join(changed.get(name, f't."{name}"') for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO analytics_usagerecord ({columns}) "
            f"SELECT {values} FROM analytics_usagerecord t, generate_series(1, 20000) n"
        )
        cursor.execute("ANALYZE analytics_usagerecord")
    return owner


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(), "usage_newest"),
        (Filters(since=NOON - 9 * DAY, until=NOON - 8 * DAY), "usage_newest"),
        (Filters(model="rare"), "usage_by_model"),
        (Filters(status=queries.FAILED), "usage_failed"),
        (Filters(id="client-4710"), "usage_by_client_id"),
        (Filters(id="0193ab3c-0000-7000-8000-000000000000"), "analytics_usagerecord_pkey"),
        (Filters(key=UUID("c4ca4238a0b923820dcc509a6f75849b")), "usage_by_key"),
    ],
)
def test_a_list_finds_its_rows_by_index(crowded: Caller, filters: Filters, index: str) -> None:
    plan = queries.records(crowded, filters).order_by("-created_at", "-id")[:51].explain()
    assert index in plan, plan
    # A month without rows is read through, since that costs nothing.
    assert not [line for line in plan.splitlines() if "Seq Scan" in line and "cost=0.00..0.00" not in line], plan
