"""`GET /api/analytics/requests`: the ledger as a client of the API sees it."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Caller
from accounts.models import Workspace
from gateway_project.lib.ids import uuid7
from tests.analytics.ledger import record
from tests.api_client import ApiClient
from tests.rag.shelves import make_document, make_library

PATH = "/api/analytics/requests"


def ids(api: ApiClient, **query: Any) -> list[str]:
    answer = api.get(PATH, **query)
    assert answer.status == 200, answer
    return [row["id"] for row in answer.json["data"]]


def test_a_row_is_the_contracts(api: ApiClient, workspace: Workspace) -> None:
    key = uuid7()
    made = record(workspace, key_id=key, stream=True)
    assert api.get(PATH).json == {
        "data": [
            {
                "id": str(made.id),
                "created_at": "2026-11-20T12:00:00+00:00",
                "status": 200,
                "provider": "openai",
                "model": "gpt-5",
                "key_id": str(key),
                "user_id": None,
                "stream": True,
                "prompt_tokens": 1200,
                "cached_tokens": 1000,
                "completion_tokens": 300,
                "reasoning_tokens": 100,
                "usage_estimated": False,
                "cost_usd": "0.003375",
                "unpriced": False,
                "saved_usd": "0",
                "latency_ms": 800,
                "ttft_ms": 200,
                "cache": "off",
                "complexity": "simple",
                "privacy": "cloud",
                "policy": "",
                "attempts": 1,
                "replay_of": None,
            }
        ],
        "next_cursor": None,
    }


def test_a_failed_request_says_why(api: ApiClient, workspace: Workspace) -> None:
    record(workspace, status=503, error_code="no_available_model", error="No provider could answer.", ttft_ms=None)
    (row,) = api.get(PATH).json["data"]
    assert (row["error"], row["ttft_ms"]) == ("No provider could answer.", None)


def test_a_request_tells_the_documents_that_it_was_answered_from(
    api: ApiClient, workspace: Workspace, stranger: Caller
) -> None:
    here = make_document(make_library(workspace), ["A passage."], title="Handbook")
    theirs = make_document(make_library(stranger.workspace), ["A passage."], title="Secret")
    gone = uuid7()
    used = {"library": "default", "passages": 4, "mode": "hybrid"}
    made = record(workspace, grounding={**used, "documents": [str(each) for each in (theirs.pk, gone, here.pk)]})
    assert api.get(f"{PATH}/{made.id}").json["grounding"] == used | {
        "documents": [
            {"id": str(theirs.pk), "title": None, "library_id": None},
            {"id": str(gone), "title": None, "library_id": None},
            {"id": str(here.pk), "title": "Handbook", "library_id": str(here.library_id)},
        ]
    }
    assert api.get(f"{PATH}/{record(workspace).id}").json["grounding"] is None


def test_pages_follow_each_other_newest_first(api: ApiClient, workspace: Workspace) -> None:
    made = [str(record(workspace, minutes // 2).id) for minutes in range(7)]  # some at the same moment
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = api.get(PATH, **query).json
        seen += [row["id"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]


def test_another_workspaces_requests_do_not_exist(api: ApiClient, workspace: Workspace, stranger: Caller) -> None:
    mine, theirs = record(workspace), record(stranger.workspace)
    assert ids(api) == [str(mine.id)]
    assert ids(ApiClient.of(stranger)) == [str(theirs.id)]
    assert ids(api, q=str(theirs.id)) == []
    assert api.get(f"{PATH}/{theirs.id}").status == 404
    assert ApiClient.of(stranger).get(f"{PATH}/{mine.id}").error["code"] == "not_found"


def test_a_viewer_may_read_and_nobody_without_a_token(viewer: Caller, anonymous: ApiClient) -> None:
    made = record(viewer.workspace)
    assert ids(ApiClient.of(viewer)) == [str(made.id)]
    assert ApiClient.of(viewer).get(f"{PATH}/{made.id}").status == 200
    assert anonymous.get(PATH).status == 401
    assert anonymous.get(f"{PATH}/{made.id}").status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_ledger_is_not_written_here(api: ApiClient, workspace: Workspace, method: str) -> None:
    made = record(workspace)
    assert api.request(method, PATH).status == 405
    assert api.request(method, f"{PATH}/{made.id}").status == 405


FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "claude-sonnet-4-5"}, {"model": "claude-sonnet-4-5"}),
    ({"provider": "work"}, {"provider": "work"}),
    ({"cache": "hit"}, {"cache": "hit"}),
    ({"complexity": "expert"}, {"complexity": "expert"}),
    ({"privacy": "local"}, {"privacy": "local"}),
    ({"policy": "cheap"}, {"policy": "cheap"}),
    ({"stream": "true"}, {"stream": True}),
    ({"user": UUID(int=7)}, {"user_id": UUID(int=7)}),
    ({"status": "404"}, {"status": 404}),
    ({"status": "4xx"}, {"status": 499}),
    ({"status": "5xx"}, {"status": 500}),
    ({"status": "error"}, {"status": 400}),
    ({"q": "client-4711"}, {"client_request_id": "client-4711"}),
]


@pytest.mark.parametrize(("query", "columns"), FILTERS, ids=lambda value: next(iter(value)))
def test_a_filter_shows_what_it_names_and_no_more(
    api: ApiClient, workspace: Workspace, query: dict[str, Any], columns: dict[str, Any]
) -> None:
    record(workspace)
    wanted = record(workspace, 1, **columns)
    record(workspace, 2)
    assert ids(api, **query) == [str(wanted.id)]


def test_2xx_leaves_out_the_others(api: ApiClient, workspace: Workspace) -> None:
    fine = record(workspace, 0)
    for minutes, status in enumerate((400, 499, 500, 302), 1):
        record(workspace, minutes, status=status)
    assert ids(api, status="2xx") == [str(fine.id)]


def test_by_key_and_by_id(api: ApiClient, workspace: Workspace) -> None:
    key = uuid4()
    record(workspace)
    mine = record(workspace, key_id=key)
    assert ids(api, key=str(key)) == [str(mine.id)]
    assert ids(api, q=str(mine.id)) == [str(mine.id)]
    # A client may use a UUID as its own id.
    theirs = record(workspace, client_request_id=str(key))
    assert ids(api, q=str(key)) == [str(theirs.id)]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({"from": "2026-11-20T12:01:00Z"}, [1, 2]),  # included
        ({"to": "2026-11-20T12:01:00Z"}, [0]),  # not included
        ({"from": "2026-11-20T12:01:00Z", "to": "2026-11-20T12:02:00Z"}, [1]),
        ({"from": "2026-11-20T13:01:00+01:00"}, [1, 2]),
        ({"from": "2026-11-20T13:01:00 01:00"}, [1, 2]),  # a plus sign that was not encoded
        ({"from": "2026-11-20", "to": "2026-11-21"}, [0, 1, 2]),
        ({"from": "2026-11-20T12:01:00"}, [1, 2]),  # UTC
        ({"from": "2026-11-20T12:01:00Z", "to": "2026-11-20T12:01:00Z"}, []),
    ],
)
def test_a_period(api: ApiClient, workspace: Workspace, period: dict[str, str], expected: list[int]) -> None:
    made = [str(record(workspace, minutes).id) for minutes in range(3)]
    assert ids(api, **period) == [made[index] for index in reversed(expected)]


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("limit", "0"), ("limit", "501"), ("limit", "ten"), ("limit", "-1"),
        ("cursor", "not-a-cursor"), ("cursor", "e30"), ("cursor", "x" * 3000),
        ("from", "yesterday"), ("from", "2026-13-01"), ("from", "5"), ("from", "0001-01-01T00:00:00+14:00"),
        ("to", "2026-11-20T25:00:00Z"), ("to", "9999-12-31T23:59:59-14:00"), ("to", "\0"),
        ("status", "600"), ("status", "6xx"), ("status", "0"), ("status", "4XX "), ("status", "ok"),
        ("key", "5"), ("key", "\0"), ("model", "\0"), ("provider", "a\0b"), ("q", "\0"), ("q", "x" * 300),
        ("model", "x" * 400), ("cache", "\0"), ("complexity", "\0"), ("cache", "warm"), ("complexity", "hard"),
        ("privacy", "strict"), ("stream", "perhaps"), ("user", "ada"), ("policy", "a\0b"), ("policy", "x" * 200),
        ("order", "cost"), ("key_id", "5"), ("provider_kind", "openai"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(api: ApiClient, param: str, value: str) -> None:
    answer = api.get(PATH, **{param: value})
    assert answer.status == 400, answer
    assert answer.error["param"] == param
    assert answer.error["code"] == "invalid_request_error"


def test_an_empty_parameter_is_as_good_as_none(api: ApiClient, workspace: Workspace) -> None:
    made = record(workspace)
    names = ("cursor", "limit", "model", "key", "user", "status", "stream", "cache", "privacy", "from", "to", "q")
    assert ids(api, **dict.fromkeys(names, "")) == [str(made.id)]


def test_a_price_that_nobody_knows_is_said(api: ApiClient, workspace: Workspace) -> None:
    record(workspace, cost_usd=0, price={"source": "unknown"})
    (row,) = api.get(PATH).json["data"]
    assert (row["cost_usd"], row["unpriced"]) == ("0", True)


def test_a_period_that_ends_before_it_begins_is_refused(api: ApiClient) -> None:
    answer = api.get(PATH, **{"from": "2026-11-21", "to": "2026-11-20"})
    assert (answer.status, answer.error["param"]) == (400, "from")


@pytest.mark.parametrize("id", ["5", "no-such-id", str(uuid4()), "0" * 32, "%00"])
def test_an_id_that_there_is_not_is_404(api: ApiClient, id: str) -> None:
    answer = api.get(f"{PATH}/{id}")
    assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_one_request_is_shown_whole(api: ApiClient, workspace: Workspace) -> None:
    attempts = [
        {"provider": "openai", "model": "gpt-5", "status": 503, "error": "overloaded", "ms": 12},
        {"provider": "openai", "model": "gpt-5", "status": None, "error": "no connection within 5 s", "ms": 5000},
        {"provider": "openai", "model": "gpt-5", "status": 200, "error": "", "ms": 790},
    ]
    made = record(workspace, attempts=attempts, metadata={"team": "blue"}, client_request_id="mine", policy="cheap")
    shown = api.get(f"{PATH}/{made.id}").json
    assert shown["attempts"] == attempts
    assert (shown["metadata"], shown["client_request_id"], shown["policy"]) == ({"team": "blue"}, "mine", "cheap")
    assert shown["price"]["source"] == "litellm 1.0"
    assert (shown["usage_estimated"], shown["endpoint"]) == (False, "/v1/chat/completions")
    assert shown["cost_lines"] == [
        {"label": "Prompt", "tokens": 200, "usd_per_mtok": "1.25", "cost_usd": "0.00025"},
        {"label": "Prompt, from the cache", "tokens": 1000, "usd_per_mtok": "0.125", "cost_usd": "0.000125"},
        {"label": "Completion", "tokens": 200, "usd_per_mtok": "10", "cost_usd": "0.002"},
        {"label": "Completion, reasoning", "tokens": 100, "usd_per_mtok": "10", "cost_usd": "0.001"},
    ]
    assert sum(Decimal(line["cost_usd"]) for line in shown["cost_lines"]) == Decimal(shown["cost_usd"])


def test_the_number_of_queries_does_not_grow_with_the_rows(api: ApiClient, workspace: Workspace) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get(PATH, limit=500).status == 200
        return len(captured)

    record(workspace)
    few = queries()
    for minutes in range(20):
        record(workspace, minutes)
    assert queries() == few
