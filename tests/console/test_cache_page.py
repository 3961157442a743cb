"""The cache's page: what each policy's answers saved, and taking them back."""

from collections.abc import Iterator

import pytest

from accounts.access import Caller
from keys.models import GatewayKey
from routing import services
from routing.cache import current
from tests.console.browser import Browser
from tests.console.conftest import queries_of
from tests.routing.test_cache_api import held, hold, used


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    current.clear()
    yield
    current.clear()


def test_it_shows_what_each_policy_holds_and_saved(browser: Browser, owner: Caller) -> None:
    policy = services.create_policy(owner, {"name": "frugal"})
    hold(owner, "a", policy_id=str(policy.pk))
    used(owner, "frugal", "hit", 3, "0.25")
    used(owner, "frugal", "miss", 1)
    used(owner, "former", "hit", 1)

    page = browser.get("cache")

    assert "frugal 3 75.0% $0.25 1" in page or "frugal 3 75% $0.25 1" in page, page
    assert "Balanced (built in) 0" in page
    assert "former Renamed or removed since 1" in page
    assert f"policy={policy.pk}" in page.html
    assert 'href="/console/routing/policies/" aria-current="page"' in page.html
    assert not page.inline


def test_answers_are_purged_after_a_question(browser: Browser, owner: Caller, key: GatewayKey) -> None:
    policy = services.create_policy(owner, {"name": "frugal"})
    hold(owner, "a", policy_id=str(policy.pk))
    hold(owner, "b", key_id=str(key.pk))
    hold(owner, "c")

    question = browser.get("cache-purge", htmx=True, policy=str(policy.pk))
    assert "Purge the cache?" in question
    assert f'value="{policy.pk}" selected' in question.html
    assert held() == {"a", "b", "c"}

    assert "1 answer is purged." in browser.follow(browser.post("cache-purge", policy=str(policy.pk)))
    assert "0 answers are purged." in browser.follow(browser.post("cache-purge", model="unknown"))
    trail = browser.get("audit", action="cache").text
    assert "purged the cache" in trail
    assert "purged the cache cache" not in trail
    browser.post("cache-purge", key=str(key.pk), policy="built-in")
    assert held() == {"c"}
    browser.post("cache-purge")
    assert held() == set()


def test_a_choice_that_is_none_of_the_workspaces_is_refused(browser: Browser, stranger: Caller, owner: Caller) -> None:
    hold(owner, "a")
    theirs = services.create_policy(stranger, {"name": "theirs"})
    page = browser.post("cache-purge", htmx=True, policy=str(theirs.pk))
    assert page.status == 422
    assert "theirs" not in page
    assert held() == {"a"}


def test_who_may_not_manage_looks_on(viewer: Caller, member: Caller, stranger: Caller, owner: Caller) -> None:
    hold(owner, "a")
    for caller in (viewer, member):
        assert "Purge" not in Browser(caller).get("cache")
        assert Browser(caller).post("cache-purge").status == 403
    Browser(stranger).post("cache-purge")
    assert held() == {"a"}
    assert Browser().get("cache").location.startswith("/console/login/")


def test_its_queries_do_not_grow_with_policies(browser: Browser, owner: Caller) -> None:
    browser.get("cache")
    before = queries_of(lambda: browser.get("cache"))
    for number in range(5):
        services.create_policy(owner, {"name": f"policy-{number}"})
        used(owner, f"policy-{number}", "hit", 1)
    assert queries_of(lambda: browser.get("cache")) == before


def test_a_policys_form_says_what_is_cached(browser: Browser, owner: Caller) -> None:
    policy = services.create_policy(owner, {"name": "frugal", "cache": {"exact": True}})
    assert 'value="always" selected' in browser.get("policy", policy.pk).html
    assert "caches all" in browser.get("policies")
