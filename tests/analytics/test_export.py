"""`GET /api/analytics/requests.csv`: the list of requests as a spreadsheet takes it."""

import csv
import re
import warnings
from io import StringIO
from typing import Any

import pytest

from accounts.access import Caller
from accounts.models import Workspace
from analytics.export import COLUMNS
from tests.analytics.ledger import record
from tests.api_client import ApiClient

PATH = "/api/analytics/requests.csv"


def exported(api: ApiClient, path: str = PATH, **query: Any) -> tuple[list[dict[str, str]], Any]:
    """The rows, and the answer. The test client reads the stream from synchronous code, which Django warns of."""
    response = api.http.get(path, query, headers=api.headers)
    assert response.status_code == 200
    with warnings.catch_warnings(action="ignore"):
        text = b"".join(response).decode()
    return list(csv.DictReader(StringIO(text, newline=""))), response


def test_rows_are_those_of_the_list(api: ApiClient, workspace: Workspace) -> None:
    record(workspace, stream=True)
    record(workspace, 1, status=503, error='No provider, or "none",\ncould answer.', attempts=[], ttft_ms=None)
    rows, response = exported(api)
    assert response["Content-Type"].startswith("text/csv; charset=utf-8")
    assert response["Content-Disposition"] == 'attachment; filename="requests.csv"'
    words = {"None": "", "True": "true", "False": "false"}
    listed = api.get("/api/analytics/requests").json["data"]
    assert [row["id"] for row in rows] == [row["id"] for row in listed]
    for row, shown in zip(rows, listed, strict=True):
        assert list(row) == COLUMNS
        assert row == {name: words.get(str(shown.get(name)), str(shown.get(name))) for name in COLUMNS}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_text_that_would_be_a_formula_is_marked_as_text(api: ApiClient, workspace: Workspace, start: str) -> None:
    record(workspace, model=f"{start}cmd|' /C calc'!A0", error=f"{start}1+1")
    ((row,), _) = exported(api)
    assert row["model"] == f"'{start}cmd|' /C calc'!A0"
    assert row["error"] == f"'{start}1+1"


def test_filters_are_the_lists(api: ApiClient, workspace: Workspace) -> None:
    record(workspace)
    wanted = record(workspace, 1, status=404)
    rows, _ = exported(api, status="4xx")
    assert [row["id"] for row in rows] == [str(wanted.pk)]
    answer = api.http.get(PATH, {"status": "ok"}, headers=api.headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "status")


def test_what_is_too_long_goes_on_behind_a_link(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.export.MAX_LIMIT", 2)  # the rows that are read at once
    made = [str(record(workspace, minutes, status=404).pk) for minutes in range(7)][::-1]
    record(workspace, 9)
    everything, response = exported(api, status="404")
    assert ([row["id"] for row in everything], response.get("Link")) == (made, None)
    first, response = exported(api, status="404", limit=5)
    link = re.fullmatch(r'<(\S+)>; rel="next"', response["Link"])
    assert link
    assert link[1].startswith(f"{PATH}?status=404&limit=5&cursor=")
    rest, response = exported(api, link[1])
    assert [row["id"] for row in first + rest] == made
    assert response.get("Link") is None


@pytest.mark.parametrize(("param", "value"), [("limit", "0"), ("limit", "100001"), ("cursor", "junk"), ("page", "2")])
def test_bad_input_is_refused_by_name(api: ApiClient, param: str, value: str) -> None:
    answer = api.get(PATH, **{param: value})
    assert (answer.status, answer.error["param"]) == (400, param)


def test_it_is_the_workspaces_own(anonymous: ApiClient, owner: Caller, viewer: Caller, stranger: Caller) -> None:
    record(owner.workspace)
    assert len(exported(ApiClient.of(viewer))[0]) == 1
    assert exported(ApiClient.of(stranger))[0] == []
    assert anonymous.get(PATH).status == 401
    foreign = ApiClient.of(stranger)
    foreign.headers["x-workspace-id"] = str(owner.workspace.pk)
    assert foreign.get(PATH).status == 404
