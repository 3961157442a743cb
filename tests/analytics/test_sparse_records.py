"""A line of the spool says only what is not as usual: the row is the one that a full line would have become."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from analytics import ledger
from analytics.models import UsageRecord
from gateway_project.lib.ids import uuid7
from keys.models import GatewayKey
from tests.analytics.ledger import line

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("writer")]

# What every line says.
NAMED = {"id", "workspace_id", "created_at", "endpoint", "status", "latency_ms"}
# Each of the other columns as it is in a record that has nothing to say of it.
USUAL: dict[str, Any] = {
    "key_id": None, "user_id": None, "client_request_id": "", "requested_model": "", "provider": "",
    "provider_kind": "", "model": "", "stream": False, "complexity": "", "privacy": "", "cache": "", "policy": "",
    "policy_version": None, "complexity_score": None, "task": None, "evidence": None, "error_code": "", "error": "",
    "attempts": [], "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "reasoning_tokens": 0,
    "usage_estimated": False, "cost_usd": "0", "saved_usd": "0", "price": {}, "ttft_ms": None, "metadata": {},
    "replay_of": None, "grounding": None, "candidates": None,
}  # fmt: skip
UNUSUAL: dict[str, Any] = {
    "key_id": str(uuid7()), "user_id": str(uuid7()), "client_request_id": "c", "requested_model": "auto",
    "provider": "p", "provider_kind": "openai", "model": "m", "stream": True, "complexity": "simple",
    "privacy": "local", "cache": "hit", "policy": "ours", "policy_version": 0, "complexity_score": 0.0, "task": "",
    "evidence": [], "error_code": "e", "error": "why", "attempts": [{}], "prompt_tokens": 1, "cached_tokens": 2,
    "completion_tokens": 3, "reasoning_tokens": 4, "usage_estimated": True, "cost_usd": "0.000000000001",
    "saved_usd": "0.000000000002", "price": {"source": "x"}, "ttft_ms": 0, "metadata": {"team": "a"},
    "replay_of": str(uuid7()), "grounding": {}, "candidates": [["p/m", 1.0]],
}  # fmt: skip


def rows(key: GatewayKey, *contents: dict[str, Any]) -> list[dict[str, Any]]:
    """What becomes of these records, entered together, without their ids."""
    named = {"workspace_id": str(key.workspace_id), "created_at": datetime(2026, 11, 21, 9, tzinfo=UTC)}
    named |= {"endpoint": "/v1/chat/completions", "status": 200, "latency_ms": 5}
    ids = [str(uuid7()) for _ in contents]
    ledger.move(b"".join(line({"id": id} | named | content) for id, content in zip(ids, contents, strict=True)))
    found = {str(row["id"]): {**row, "id": None} for row in UsageRecord.objects.filter(id__in=ids).values()}
    return [found[id] for id in ids]


def test_every_column_is_either_named_or_has_a_usual_value() -> None:
    columns = {str(field.column) for field in ledger.FIELDS}
    assert columns == NAMED | USUAL.keys()
    assert columns == NAMED | UNUSUAL.keys()
    not_null = {name: value for name, value in USUAL.items() if value is not None}
    assert not_null | {"cost_usd": 0, "saved_usd": 0} == ledger.DEFAULTS


def test_what_is_left_out_is_as_if_it_were_said(key: GatewayKey) -> None:
    @given(st.sets(st.sampled_from(sorted(USUAL))))
    @examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def check(unusual: set[str]) -> None:
        said = {name: UNUSUAL[name] for name in unusual}
        sparse, full = rows(key, said, USUAL | said)
        assert sparse == full

    check()


def test_what_a_line_must_say_has_no_usual_value(key: GatewayKey, settings: Any, tmp_path: Any) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "spool").mkdir()
    for name in sorted(NAMED - {"id"}):
        with pytest.raises(KeyError):
            rows(key, {name: None})
    assert not UsageRecord.objects.exists()
