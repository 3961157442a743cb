"""Makes ledger rows for tests, through the columns that the ledger's writer fills, and lines of its spool."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.db import connection

from accounts.models import Workspace
from analytics import ledger, partitions, rollups
from analytics.models import UsageRecord
from gateway_project.lib.ids import uuid7
from keys.models import GatewayKey

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
COLUMNS = ", ".join(str(field.column) for field in ledger.FIELDS)


def record(workspace: Workspace, minutes: float = 0, **columns: Any) -> UsageRecord:
    """A request that arrived `minutes` after `NOON` and was answered, unless `columns` say otherwise."""
    defaults: dict[str, Any] = {
        "endpoint": "/v1/chat/completions", "requested_model": "gpt-5", "provider": "openai",
        "provider_kind": "openai", "model": "gpt-5", "complexity": "simple", "privacy": "cloud", "cache": "off",
        "status": 200, "prompt_tokens": 1200, "cached_tokens": 1000, "completion_tokens": 300,
        "reasoning_tokens": 100, "cost_usd": Decimal("0.003375"), "latency_ms": 800, "ttft_ms": 200,
        "price": {
            "source": "litellm 1.0", "tier": "standard",
            "input": "0.00000125", "cached_input": "0.000000125", "output": "0.00001",
        },
        "attempts": [{"provider": "openai", "model": "gpt-5", "status": 200, "error": "", "ms": 790}],
    }  # fmt: skip
    defaults |= {"id": uuid7(), "created_at": NOON + timedelta(minutes=minutes)}
    values = defaults | columns
    make_month(values["created_at"])
    made = UsageRecord.objects.create(workspace=workspace, **values)
    with connection.cursor() as cursor:
        cursor.execute(ledger.STAGE)
        cursor.execute("TRUNCATE entered")
        cursor.execute(f"INSERT INTO entered ({COLUMNS}) SELECT {COLUMNS} FROM {ledger.TABLE} WHERE id = %s", [made.pk])
        rollups.add(cursor)  # type: ignore[arg-type]
    return made


def make_month(at: datetime) -> None:
    """Make the partition that a row of that time belongs to; the ledger's writer does this by itself."""
    connection.ensure_connection()
    partitions.ensure(connection.connection, [partitions.month_of(at)])


def spooled(key: GatewayKey, **changed: Any) -> dict[str, Any]:
    """A record, as the spool has it, of a request that cost a thousandth of a cent."""
    return {
        "id": str(uuid7()), "workspace_id": str(key.workspace_id), "created_at": datetime(2026, 11, 21, 9, tzinfo=UTC),
        "key_id": str(key.id), "user_id": None, "client_request_id": "", "endpoint": "/v1/chat/completions",
        "requested_model": "auto", "provider": "p", "provider_kind": "openai", "model": "gpt-4o-mini", "stream": False,
        "complexity": "simple", "privacy": "cloud", "cache": "off", "policy": "", "status": 200, "error_code": "",
        "error": "", "attempts": [], "prompt_tokens": 10, "cached_tokens": 0, "completion_tokens": 5,
        "reasoning_tokens": 0, "usage_estimated": False, "cost_usd": "0.000010000001", "price": {"source": "x"},
        "latency_ms": 12, "ttft_ms": None, "metadata": {"team": "a"}, **changed,
    }  # fmt: skip


def line(content: dict[str, Any]) -> bytes:
    """`content` as a line of the spool."""
    return orjson.dumps(content) + b"\n"
