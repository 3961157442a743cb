"""Limits and budgets in the console: of a key, a member and the workspace; what is spent, and setting it back."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.urls import reverse

from accounts.access import Caller
from accounts.limits import show_limits
from accounts.models import Limited, Membership, Role, Workspace
from accounts.spending import spending_of
from analytics.models import DailyTotal, DailyUsage
from keys import services
from keys.models import GatewayKey
from tests.conftest import MakeUser
from tests.console.browser import Browser
from tests.console.conftest import queries_of

SCOPES = {"scopes": ["inference"]}
LIMITS = {
    "budget_usd": "12.5", "budget_period": "week", "rate_limit_requests": "100", "rate_limit_tokens": "5000",
    "rate_limit_window": "30", "rate_limit_streams": "2",
}  # fmt: skip
SET = {
    **LIMITS,
    "rate_limit_requests": 100,
    "rate_limit_tokens": 5000,
    "rate_limit_window": 30,
    "rate_limit_streams": 2,
}


def membership(caller: Caller) -> Membership:
    return Membership.objects.get(user=caller.user, workspace=caller.workspace)


def spend(key: GatewayKey, usd: str) -> None:
    """As the ledger enters it, today."""
    usage = {"workspace": key.workspace, "day": datetime.now(UTC).date(), "cost_usd": Decimal(usd), "requests": 1}
    DailyUsage.objects.create(key_id=key.pk, user_id=key.created_by_id, **usage)
    DailyTotal.objects.create(model=str(key.pk), **usage)


@pytest.fixture(params=["key", "member", "workspace"])
def place(request: pytest.FixtureRequest, key: GatewayKey, member: Caller) -> tuple[str, tuple[object, ...], Limited]:
    """The page's name and arguments where something is limited, and what."""
    if request.param == "key":
        return "gateway-key", (key.pk,), key
    if request.param == "member":
        return "member", (membership(member).pk,), membership(member)
    return "workspace-limits", (), key.workspace


Place = tuple[str, tuple[object, ...], Limited]


def test_limits_are_set_shown_and_taken_away(browser: Browser, place: Place) -> None:
    page, args, row = place

    assert browser.post(page, *args, name="chatbot", **SCOPES, **LIMITS).status == 303
    row.refresh_from_db()
    assert show_limits(row) == SET
    shown = browser.get("workspace" if page == "workspace-limits" else page, *args).html
    for name, value in LIMITS.items():
        assert f'value="{value}"' in shown, name

    browser.post(page, *args, name="chatbot", **SCOPES, budget_period="month", rate_limit_window="30")
    row.refresh_from_db()
    assert show_limits(row) == dict.fromkeys(SET)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("budget_usd", "-1", "greater than or equal to 0"),
        ("budget_usd", "0.1234567890123", "12 decimal places"),
        ("budget_usd", "9" * 13, "12 digits"),
        ("budget_usd", "lots", "Enter a number"),
        ("budget_period", "year", "not one of the available choices"),
        ("rate_limit_requests", "0", "greater than or equal to 1"),
        ("rate_limit_tokens", "1.5", "Enter a whole number"),
        ("rate_limit_window", "99999999", "less than or equal to"),
        ("rate_limit_streams", "-2", "greater than or equal to 1"),
    ],
)
def test_a_wrong_limit_is_named_at_its_field(
    browser: Browser, place: Place, field: str, value: str, complaint: str
) -> None:
    page, args, row = place

    answer = browser.post(page, *args, name="chatbot", **SCOPES, **{**LIMITS, field: value}, htmx=True)

    assert answer.status == 422
    assert complaint in answer
    assert "<html" not in answer.html
    row.refresh_from_db()
    assert show_limits(row) == dict.fromkeys(SET)


def test_a_window_of_nothing_is_refused_at_its_field(browser: Browser, place: Place) -> None:
    page, args, row = place

    answer = browser.post(page, *args, name="chatbot", **SCOPES, rate_limit_window="30", htmx=True)

    assert (answer.status, "Limits nothing by itself" in answer) == (422, True)
    row.refresh_from_db()
    assert row.rate_limit_window is None


def test_a_new_key_takes_limits(browser: Browser) -> None:
    assert browser.post("gateway-key-new", name="ci", **SCOPES, **LIMITS).status == 200
    assert show_limits(GatewayKey.objects.get()) == SET


def test_what_is_spent_is_shown_as_a_share(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    spend(key, "8.000000000001")
    for row in (key, membership(owner), owner.workspace):
        row.budget_usd, row.budget_period = Decimal(10), "month"
        row.save()

    for page, args in (
        ("gateway-keys", ()), ("gateway-key", (key.pk,)), ("team", ()), ("member", (membership(owner).pk,)),
        ("workspace", ()),
    ):  # fmt: skip
        shown = browser.get(page, *args)
        assert "$8.00 of $10.00 this month" in shown, page
        assert 'value="80"' in shown.html
        assert shown.inline == []


def test_a_budget_is_reset_after_a_question(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    spend(key, "5")
    for page, args, row in (
        ("gateway-key", (key.pk,), key), ("member", (membership(owner).pk,), membership(owner)),
        ("workspace", (), owner.workspace),
    ):  # fmt: skip
        row.budget_usd, row.budget_period = Decimal(5), "total"
        row.save()
        assert reverse(f"{page}-reset", args=args) in browser.get(page, *args).html

        asked = browser.get(f"{page}-reset", *args, htmx=True)
        assert "Reset the budget of " in asked
        assert "$5.00 of $5.00" in browser.get(page, *args), "asking resets nothing"
        done = browser.post(f"{page}-reset", *args)

        assert done.location == reverse(page, args=args)
        assert "is whole again" in browser.follow(done)
        assert "$0 of $5.00" in browser.get(page, *args)


def test_a_viewer_reads_and_changes_nothing(viewer: Caller, member: Caller, key: GatewayKey) -> None:
    browser = Browser(viewer)
    row = membership(member)

    for page, args in (("workspace", ()), ("member", (row.pk,)), ("team", ())):
        assert browser.get(page, *args).status == 200
        assert "Save limits" not in browser.get(page, *args)
    assert browser.post("workspace-limits", **LIMITS).status == 403
    assert browser.post("member", row.pk, **LIMITS).status == 403
    for page, args in (("gateway-key-reset", (key.pk,)), ("member-reset", (row.pk,)), ("workspace-reset", ())):
        assert browser.post(page, *args).status == 403


def test_an_admin_sets_no_owners_limits(admin: Caller, owner: Caller, member: Caller) -> None:
    browser = Browser(admin)

    assert browser.post("member", membership(owner).pk, **LIMITS).status == 403
    assert browser.post("member-reset", membership(owner).pk).status == 403
    assert "Save limits" not in browser.get("member", membership(owner).pk)
    assert browser.post("member", membership(member).pk, **LIMITS).status == 303


def test_for_a_stranger_they_do_not_exist(stranger: Caller, key: GatewayKey, owner: Caller) -> None:
    browser = Browser(stranger)

    for page, id in (
        ("member", membership(owner).pk), ("gateway-key-reset", key.pk), ("member-reset", membership(owner).pk),
    ):  # fmt: skip
        assert browser.get(page, id).status == 404
        assert browser.post(page, id).status == 404
    assert browser.get("member", "no-id").status == 404


def test_an_owner_has_prompts_kept_or_not(browser: Browser, owner: Caller, admin: Caller) -> None:
    assert "They are not kept" in browser.get("workspace")

    done = browser.follow(browser.post("workspace-content", store_content="on", content_retention_days="7"))
    assert "are kept from now on" in done
    assert "kept for 7 days" in done
    wrong = browser.post("workspace-content", store_content="on", content_retention_days="0", htmx=True)
    assert (wrong.status, "greater than or equal to 1" in wrong) == (422, True)
    assert Browser(admin).post("workspace-content", content_retention_days="7").status == 403

    browser.post("workspace-content", content_retention_days="7")
    workspace = Workspace.objects.get(pk=owner.workspace.pk)
    assert (workspace.store_content, workspace.content_retention_days) == (False, 7)


# --- What is spent -------------------------------------------------------------------------------


def test_only_the_running_period_counts_and_not_what_was_set_back(owner: Caller, key: GatewayKey) -> None:
    spend(key, "3")
    DailyUsage.objects.create(
        workspace=owner.workspace, key_id=key.pk, day=datetime(2020, 1, 1, tzinfo=UTC).date(), cost_usd=100, requests=1
    )
    key.budget_usd = Decimal(4)
    key.budget_period = "day"
    today = spending_of([key])[key.pk]
    assert (today.spent_usd, today.percent, today.level) == (Decimal(3), 75, "ok")
    assert today.renews_at is not None

    key.budget_period = "total"
    assert (spending_of([key])[key.pk].spent_usd, spending_of([key])[key.pk].level) == (Decimal(103), "over")

    key.budget_reset_at, key.budget_reset_usd = datetime.now(UTC), Decimal(103)
    assert spending_of([key])[key.pk].spent_usd == 0


def test_lists_take_as_many_queries_for_many(browser: Browser, owner: Caller, make_user: MakeUser) -> None:
    services.create_key(owner, {"name": "a", "budget_usd": "1"})
    few = [queries_of(lambda page=page: browser.get(page)) for page in ("gateway-keys", "team")]  # type: ignore[misc]
    for number in range(5):
        spend(services.create_key(owner, {"name": str(number), "budget_usd": "1"})[0], "0.5")
        user = make_user(f"m{number}@example.com").user
        Membership.objects.create(user=user, workspace=owner.workspace, role=Role.MEMBER, budget_usd=1)
    assert [queries_of(lambda page=page: browser.get(page)) for page in ("gateway-keys", "team")] == few  # type: ignore[misc]
    assert Workspace.objects.exists()
