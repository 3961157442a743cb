"""What a workspace's people hear of."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts import events
from accounts.access import Caller
from accounts.models import Event, Workspace

DATA = {"scope": "key", "percent": 80}


def test_an_event_is_raised_once(workspace: Workspace) -> None:
    first = events.raise_event(workspace.pk, "budget.threshold", "budget:1:80", DATA)
    again = events.raise_event(str(workspace.pk), "budget.threshold", "budget:1:80", {"percent": 99})

    assert first is not None
    assert again is None
    assert Event.objects.get() == first
    assert Event.objects.get().data == DATA


def test_another_workspace_has_its_own(workspace: Workspace, stranger: Caller) -> None:
    for place in (workspace, stranger.workspace):
        assert events.raise_event(place.pk, "budget.threshold", "same", DATA) is not None


def test_who_listens_hears_of_it_once(workspace: Workspace) -> None:
    heard: list[Event] = []

    def listen(event: Event, **_: Any) -> None:
        heard.append(event)

    events.event_raised.connect(listen)
    try:
        for _ in range(3):
            events.raise_event(workspace.pk, "budget.threshold", "once", DATA)
    finally:
        events.event_raised.disconnect(listen)

    assert [event.once_key for event in heard] == ["once"]


def test_a_workspace_that_is_gone_is_passed_over(db: None) -> None:
    assert events.raise_event(uuid4(), "budget.threshold", "gone", DATA) is None
    assert not Event.objects.exists()


def test_a_kind_that_nobody_knows_is_a_defect(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="party"):
        events.raise_event(workspace.pk, "party", "x", {})


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_one_raises_it(workspace: Workspace) -> None:
    raised = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            raised.append(events.raise_event(workspace.pk, "budget.threshold", "race", DATA))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(event is not None for event in raised) == 1
    assert Event.objects.count() == 1
