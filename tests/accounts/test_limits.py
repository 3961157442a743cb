"""Limits and budgets of keys, members and workspaces: one shape for all three, and who may set which."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Model

from accounts.access import Caller
from accounts.models import Membership
from analytics.models import DailyTotal, DailyUsage
from keys import services
from tests.api_client import ApiClient

ALL = {
    "budget_usd": "12.000000000001", "budget_period": "week", "rate_limit_requests": 100, "rate_limit_window": 30,
    "rate_limit_tokens": 50_000, "rate_limit_streams": 3,
}  # fmt: skip
NONE = dict.fromkeys(ALL)


def path_of_member(caller: Caller) -> str:
    membership = Membership.objects.get(user=caller.user, workspace=caller.workspace)
    return f"{path_of_workspace(caller)}/members/{membership.pk}"


def path_of_workspace(caller: Caller) -> str:
    return f"/api/workspaces/{caller.workspace.pk}"


@pytest.fixture(params=["key", "member", "workspace"])
def path(request: pytest.FixtureRequest, owner: Caller, member: Caller) -> str:
    """Where something that can be limited is changed."""
    if request.param == "key":
        return f"/api/keys/gateway/{services.create_key(owner, {'name': 'ci'})[0].pk}"
    return path_of_member(member) if request.param == "member" else path_of_workspace(owner)


def limits(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: shown[name] for name in ALL}


def listed(api: ApiClient, path: str) -> dict[str, Any]:
    """What the API shows at another time."""
    if path.startswith("/api/keys") or "/members/" in path:
        rows = api.get(path.rpartition("/")[0]).json["data"]
        row: dict[str, Any] = next(row for row in rows if row["id"] == path.rpartition("/")[2])
        return row
    shown: dict[str, Any] = api.get(path).json
    return shown


def test_every_limit_is_taken_shown_and_taken_away(api: ApiClient, path: str) -> None:
    assert limits(listed(api, path)) == NONE

    assert limits(api.patch(path, ALL).json) == ALL
    assert limits(listed(api, path)) == ALL
    assert limits(api.patch(path, rate_limit_streams=7).json) == {**ALL, "rate_limit_streams": 7}
    assert limits(api.patch(path, NONE).json) == NONE
    assert limits(listed(api, path)) == NONE


def test_a_budget_without_a_period_is_a_total(api: ApiClient, path: str) -> None:
    assert api.patch(path, budget_usd="5").json["budget_period"] == "total"
    assert api.patch(path, budget_period="day").json["budget_period"] == "day"
    assert api.patch(path, budget_usd="6").json["budget_period"] == "day"
    assert api.patch(path, budget_period=None).json["budget_period"] == "total"


@pytest.mark.parametrize(("given", "shown"), [("-0", "0"), ("1e-12", "0.000000000001"), (0.1, "0.1"), ("5.50", "5.5")])
def test_a_budget_is_shown_as_money(api: ApiClient, path: str, given: Any, shown: str) -> None:
    assert api.patch(path, budget_usd=given).json["budget_usd"] == shown
    assert listed(api, path)["budget_usd"] == shown


def test_what_depends_on_a_limit_goes_with_it(api: ApiClient, path: str) -> None:
    api.patch(path, ALL)

    assert api.patch(path, budget_usd=None).json["budget_period"] is None
    assert api.patch(path, rate_limit_requests=None).json["rate_limit_window"] == 30
    assert api.patch(path, rate_limit_tokens=None).json["rate_limit_window"] is None


@pytest.mark.parametrize("budget", ["0", "0.000000000001", "999999999999.999999999999"])
def test_the_ends_of_the_range(api: ApiClient, path: str, budget: str) -> None:
    assert api.patch(path, budget_usd=budget).json["budget_usd"] == budget


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"budget_usd": "-0.01"}, "budget_usd", "greater than or equal to 0"),
        ({"budget_usd": "0.1234567890123"}, "budget_usd", "12 decimal places"),
        ({"budget_usd": "1000000000000"}, "budget_usd", "12 digits before the decimal point"),
        ({"budget_usd": "1e400"}, "budget_usd", ""),
        ({"budget_usd": "NaN"}, "budget_usd", "amount"),
        ({"budget_usd": "a lot"}, "budget_usd", "amount"),
        ({"budget_usd": False}, "budget_usd", "an amount"),
        ({"budget_usd": "1", "budget_period": "year"}, "budget_period", "'day', 'week', 'month' or 'total'"),
        ({"budget_period": "day"}, "budget_period", "set budget_usd, too"),
        ({"budget_usd": None, "budget_period": "day"}, "budget_period", "set budget_usd, too"),
        ({"rate_limit_requests": 0}, "rate_limit_requests", "greater than or equal to 1"),
        ({"rate_limit_requests": 10**10}, "rate_limit_requests", "less than or equal to 1000000000"),
        ({"rate_limit_window": 60}, "rate_limit_window", "rate_limit_requests or rate_limit_tokens"),
        ({"rate_limit_tokens": 1, "rate_limit_window": 10**9}, "rate_limit_window", "less than"),
        ({"rate_limit_tokens": 10**13}, "rate_limit_tokens", "less than"),
        ({"rate_limit_streams": "2"}, "rate_limit_streams", "whole number"),
        ({"budget_reset_usd": "1"}, "budget_reset_usd", "unknown; the fields are"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    api: ApiClient, path: str, fields: dict[str, Any], param: str, said: str
) -> None:
    answer = api.patch(path, fields)

    assert (answer.status, answer.error["param"]) == (400, param), answer
    assert said in answer.error["message"]
    assert limits(listed(api, path)) == NONE


def test_what_was_spent_is_shown_and_can_be_set_back(api: ApiClient, path: str, owner: Caller, member: Caller) -> None:
    day = {"workspace": owner.workspace, "day": datetime.now(UTC).date(), "cost_usd": Decimal("1.25"), "requests": 1}
    key = path.rpartition("/")[2] if "/keys/" in path else None
    DailyUsage.objects.create(key_id=key, user_id=member.user.pk, **day)
    DailyTotal.objects.create(model="m", **day)
    api.patch(path, budget_usd="5", budget_period="month")

    assert listed(api, path)["spent_usd"] == "1.25"
    assert api.post(f"{path}/budget/reset").json["spent_usd"] == "0"
    assert listed(api, path)["spent_usd"] == "0"

    usage = DailyUsage.objects.all(), DailyTotal.objects.all()
    for rows in usage:
        rows.update(cost_usd=Decimal("1.5"))
    assert listed(api, path)["spent_usd"] == "0.25", "what is spent after the reset counts"
    assert api.patch(path, rate_limit_streams=1).json["spent_usd"] == "0.25"


# --- Who may -------------------------------------------------------------------------------------


def test_a_member_does_not_raise_their_own_limits(member: Caller) -> None:
    mine = ApiClient.of(member)

    for path in (path_of_member(member), path_of_workspace(member)):
        assert mine.patch(path, budget_usd="1000").status == 403
        assert mine.post(f"{path}/budget/reset").status == 403
    # Their keys' limits are theirs to set: those of the member and the workspace hold all the same.
    assert mine.post("/api/keys/gateway", name="big", budget_usd="1000").status == 201


def test_an_admin_limits_members_and_the_workspace_but_no_owner(admin: Caller, member: Caller, owner: Caller) -> None:
    theirs = ApiClient.of(admin)

    assert theirs.patch(path_of_member(member), budget_usd="1").status == 200
    assert theirs.patch(path_of_workspace(admin), budget_usd="1").status == 200
    assert theirs.patch(path_of_member(owner), budget_usd="1").status == 403
    assert theirs.post(f"{path_of_member(owner)}/budget/reset").status == 403
    assert theirs.patch(path_of_workspace(admin), name="Ours").status == 403


def test_a_change_that_is_refused_in_part_changes_nothing(admin: Caller, member: Caller) -> None:
    theirs = ApiClient.of(admin)

    assert theirs.patch(path_of_workspace(admin), name="Ours", budget_usd="1").status == 403
    assert theirs.patch(path_of_member(member), role="admin", budget_period="day").status == 400
    rows: list[Model] = [member.workspace, Membership.objects.get(user=member.user, workspace=member.workspace)]
    for row in rows:
        row.refresh_from_db()
    assert (member.workspace.budget_usd, rows[1].role) == (None, "member")  # type: ignore[attr-defined]


def test_a_viewer_reads_them_and_a_stranger_finds_nothing(viewer: Caller, stranger: Caller, owner: Caller) -> None:
    ApiClient.of(owner).patch(path_of_workspace(owner), budget_usd="3")

    assert ApiClient.of(viewer).get(path_of_workspace(viewer)).json["budget_usd"] == "3"
    assert ApiClient.of(viewer).patch(path_of_workspace(viewer), budget_usd="4").status == 403
    for path in (path_of_workspace(owner), path_of_member(owner)):
        assert ApiClient.of(stranger).patch(path, budget_usd="4").status == 404
        assert ApiClient.of(stranger).post(f"{path}/budget/reset").status == 404
