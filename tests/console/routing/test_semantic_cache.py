"""The console's part of the semantic cache: switched on in a policy's form, and what was found of its hits."""

from uuid import uuid4

import pytest

from accounts.access import Caller
from routing.models import Policy, SemanticCheck, SemanticThreshold
from tests.console.browser import Browser
from tests.console.routing.forms import BALANCED, says

ON = {"semantic_cache": "on", "max_false_hits": "0.5", "check_share": "10", "judge": "small", "threshold": "0.93"}


def checked(owner: Caller, policy: Policy, **verdicts: int) -> None:
    """So many checks of each verdict."""
    for verdict, many in verdicts.items():
        for _ in range(many):
            SemanticCheck.objects.create(
                id=uuid4(), request_id=uuid4(), workspace=owner.workspace, policy_id=str(policy.pk), space="m@1:3",
                similarity=0.9, agreement=0.9, verdict=verdict,
            )  # fmt: skip


def test_a_policy_is_told_to_take_hits_by_meaning(browser: Browser, policy: Policy) -> None:
    page = browser.post("policy", policy.pk, **{**BALANCED, "name": "frugal", **ON})

    assert "is in force" in browser.follow(page)
    assert says(policy)["cache"] == {
        "exact": None, "semantic": True, "threshold": 0.93, "max_false_hits": 0.005, "check_share": 0.1,
        "judge": "small",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), [("threshold", "1.5"), ("max_false_hits", "51"), ("check_share", "-1"), ("judge", "auto")]
)
def test_a_wrong_number_is_named(browser: Browser, policy: Policy, field: str, value: str) -> None:
    page = browser.post("policy", policy.pk, **{**BALANCED, "name": "frugal", **ON, field: value})

    assert page.status == 422
    assert "field-error" in page.html


def test_the_page_shows_how_many_hits_were_wrong_and_how_sure_that_is(
    browser: Browser, owner: Caller, policy: Policy
) -> None:
    checked(owner, policy, right=98, wrong=2, unsure=3)
    SemanticThreshold.objects.create(workspace=owner.workspace, policy_id=str(policy.pk), space="m@1:3", value=0.91)

    page = browser.get("cache")

    assert "Hits by meaning" in page
    assert "2%" in page
    assert "95% interval 0.55% to 7%" in page
    assert "and 3 unsure" in page
    assert "0.91" in page
    assert "moved by itself" in page


def test_without_any_such_policy_nothing_is_said_of_it(browser: Browser) -> None:
    assert "Hits by meaning" not in browser.get("cache")


def test_another_workspaces_checks_are_not_shown(
    browser: Browser, owner: Caller, stranger: Caller, policy: Policy
) -> None:
    checked(stranger, policy, wrong=7)

    assert "95% interval" not in browser.get("cache")
