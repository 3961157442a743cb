"""The health board: who rests, who fails, who refuses its key."""

import re

import pytest

from accounts.access import Caller
from keys import services as keys
from keys.models import Provider
from routing import health, snapshot
from routing.providers.base import Target
from tests.console.browser import Browser


def test_the_board_shows_who_rests_and_who_did_not_answer(
    browser: Browser, owner: Caller, fleet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "current", health.Health(lambda: 1000.0))
    target: Target = next(
        target for target in snapshot.current.workspace(str(owner.workspace.pk)).all if target.model == "gpt-5"
    )
    for _ in range(5):
        flight = health.current.begin(target, stream=False, last_resort=True)
        assert flight is not None
        flight.failed("the connection was refused")
    Provider.objects.filter(pk=fleet.pk).update(last_error="Nobody is there.")

    page = browser.get("fleet", htmx=True)

    assert "rests" in page
    assert "cloud did not answer when it was asked for its models. Nobody is there." in page
    assert "not asked lately" in page
    assert "<html" not in page.html


def test_the_board_says_who_fails_often_and_whose_trial_is_due(
    browser: Browser, owner: Caller, fleet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(health, "current", health.Health(lambda: now))
    targets = {target.model: target for target in snapshot.current.workspace(str(owner.workspace.pk)).all}

    def ask(model: str, *outcomes: bool) -> None:
        for answered in outcomes:
            flight = health.current.begin(targets[model], stream=False, last_resort=True)
            assert flight is not None
            flight.completed(1) if answered else flight.failed("the connection was refused")

    ask("gpt-5", *[True] * 5, False)
    ask("gpt-4o-mini", True)
    ask("llama3.1:8b", *[False] * 5)
    before = browser.get("fleet", htmx=True)
    now += 3600
    after = browser.get("fleet", htmx=True)

    assert "gpt-5 cloud fails often asked last" in before
    assert "gpt-4o-mini cloud healthy" in before
    assert re.search(r"llama3.1:8b house rests \d+ s", before.text)
    assert "a trial is due" in after
    # htmx complains about one that is not there.
    assert 'hx-indicator="this"' in before.html


def test_a_refused_key_shows_where_the_provider_does(
    browser: Browser, owner: Caller, stranger: Caller, fleet: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "current", health.Health())
    health.current.credential_of = snapshot.current.credential
    target = next(target for target in snapshot.current.workspace(str(owner.workspace.pk)).all if not target.local)
    assert "Refuses its key" not in browser.get("providers")
    flight = health.current.begin(target, stream=False)
    assert flight is not None
    flight.denied(snapshot.current.credential(str(fleet.pk)) or "", "it refuses our key (401)")

    assert browser.get("providers").text.count("Refuses its key") == 1
    assert "It refuses our key (401)." in browser.get("provider", fleet.pk)
    assert "Refuses its key" not in Browser(stranger).get("providers")

    keys.change_provider(owner, fleet, {"api_key": "sk-2"})
    snapshot.current.read_all()

    assert "Refuses its key" not in browser.get("providers")
