"""Who may see and change the routing pages, and what holds for all of them."""

import pytest

from accounts.access import Caller
from routing import services
from routing.models import Policy
from tests.console.browser import Browser
from tests.console.conftest import queries_of
from tests.console.routing.forms import BALANCED


@pytest.mark.usefixtures("fleet")
def test_a_viewer_sees_everything_and_changes_nothing(viewer: Caller, policy: Policy) -> None:
    browser = Browser(viewer)

    assert "Only an admin" in browser.get("policy", policy.pk)
    assert "Only an admin" in browser.get("model", "cloud/gpt-5")
    assert "New policy" not in browser.get("policies")
    assert "Goes to" in browser.post("policy-preview", **BALANCED, name="x", prompt="Hello", htmx=True)
    assert browser.get("policy-new").status == 403
    assert browser.post("policy", policy.pk, **BALANCED, name="x").status == 403
    assert browser.post("policy-roll-back", policy.pk, version="1").status == 403
    assert browser.post("policy-remove", policy.pk).status == 403
    assert browser.post("model", "cloud/gpt-5", quality="1").status == 403


@pytest.mark.usefixtures("fleet")
def test_a_stranger_finds_nothing(stranger: Caller, policy: Policy) -> None:
    browser = Browser(stranger)

    assert "frugal" not in browser.get("policies")
    assert "gpt-5" not in browser.get("models")
    assert "gpt-5" not in browser.get("fleet")
    for page in ("policy", "policy-roll-back", "policy-remove"):
        assert browser.post(page, policy.pk).status == 404
    assert browser.get("model", "cloud/gpt-5").status == 404
    assert "gpt-5" not in browser.post("policy-preview", **BALANCED, name="x", prompt="Hello", htmx=True)


def test_the_wrong_method_is_refused(browser: Browser, policy: Policy) -> None:
    assert browser.get("policy-preview").status == 405
    assert browser.get("policy-roll-back", policy.pk).status == 405
    assert browser.post("fleet").status == 405


@pytest.mark.usefixtures("fleet")
def test_pages_hold_nothing_inline(browser: Browser, policy: Policy) -> None:
    for name in ("policies", "policy-new", "policy-built-in", "models", "fleet"):
        assert browser.get(name).inline == []
    assert browser.get("policy", policy.pk).inline == []
    assert browser.get("model", "cloud/gpt-5").inline == []


def test_queries_do_not_grow_with_the_policies(browser: Browser, owner: Caller, policy: Policy) -> None:
    few = queries_of(lambda: browser.get("policies"))
    for number in range(10):
        services.create_policy(owner, {"name": f"policy-{number}"})

    assert queries_of(lambda: browser.get("policies")) == few
