"""Quality as a workspace found it: bounded, monotone, and moved by each piece of evidence exactly once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Workspace
from analytics import ledger
from gateway_project.lib.ids import uuid7
from routing import calibration, evidence, feedback
from routing.calibration import posterior
from routing.feedback import Judgement
from routing.models import Evidence, Feedback
from tests.analytics.ledger import line
from tests.analytics.ledger import record as answered_record
from tests.analytics.ledger import spooled as spooled_record

QUALITY = st.floats(0, 1)
AMOUNT = st.floats(0, 1e9)


@given(QUALITY, AMOUNT, AMOUNT)
def test_a_posterior_is_a_quality_between_the_prior_and_what_was_seen(prior: float, good: float, bad: float) -> None:
    found = posterior(prior, good, bad)
    assert 0 <= found <= 1
    if good + bad:
        seen = good / (good + bad)
        assert min(prior, seen) - 1e-9 <= found <= max(prior, seen) + 1e-9


@given(QUALITY)
def test_without_evidence_it_is_the_prior(prior: float) -> None:
    assert posterior(prior, 0, 0) == pytest.approx(prior, abs=1e-12)


@given(QUALITY, AMOUNT, AMOUNT, AMOUNT)
def test_it_follows_the_evidence(prior: float, good: float, bad: float, more: float) -> None:
    assert posterior(prior, good + more, bad) >= posterior(prior, good, bad) - 1e-9
    assert posterior(prior, good, bad + more) <= posterior(prior, good, bad) + 1e-9


@given(QUALITY, QUALITY, AMOUNT, AMOUNT)
def test_it_keeps_the_order_of_priors(one: float, other: float, good: float, bad: float) -> None:
    low, high = sorted((one, other))
    assert posterior(low, good, bad) <= posterior(high, good, bad) + 1e-12


def test_as_many_judgements_as_the_priors_weight_count_as_much_as_the_prior() -> None:
    assert posterior(0.8, 0, calibration.PRIOR_WEIGHT) == pytest.approx(0.4)


@given(st.floats(-1, 1))
def test_a_judgement_is_one_observation_at_most(score: float) -> None:
    good, bad = calibration.judged(score)
    assert (good - bad, min(good, bad)) == (score, 0)


def test_a_hint_weighs_less_than_what_somebody_said() -> None:
    assert all(0 < weight < 1 for weight in calibration.SIGNAL_WEIGHTS.values())
    assert min(calibration.SIGNAL_WEIGHTS.values()) > calibration.ANSWERED_WEIGHT


class TestImplicit:
    """What the ledger's records say, in the transaction that enters them."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture(autouse=True)
    def _writer(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(ledger, "_connection", None)
        monkeypatch.setattr(ledger, "_on_enter", [evidence.gather])
        yield
        if ledger._connection is not None:
            ledger._connection.close()

    @staticmethod
    def spooled(workspace: Workspace, *said: dict[str, Any] | str, **columns: Any) -> bytes:
        """A line of the spool whose evidence is `said`: signals of the model `m`, or whole items."""
        items = [{"model": "m", "complexity": "simple", "signal": x} if isinstance(x, str) else x for x in said]
        key = type("Key", (), {"id": uuid7(), "workspace_id": workspace.pk})
        return line(spooled_record(key, evidence=items, **columns))  # type: ignore[arg-type]

    @staticmethod
    def sums(workspace: Workspace) -> dict[tuple[str, str, str], tuple[float, float]]:
        rows = Evidence.objects.filter(workspace=workspace)
        return {(row.model, row.complexity, row.source): (row.good, row.bad) for row in rows}

    def test_signals_are_summed_by_model_and_complexity(self, workspace: Workspace) -> None:
        other = {"model": "other", "complexity": "expert", "signal": "invalid_json"}
        ledger.move(self.spooled(workspace, "refused") + self.spooled(workspace, "truncated", other))
        ledger.move(self.spooled(workspace, "retried"))
        assert self.sums(workspace) == {
            ("m", "simple", "implicit"): (0, 0.75),
            ("other", "expert", "implicit"): (0, 0.5),
        }

    def test_a_segment_that_is_moved_again_changes_nothing(self, workspace: Workspace) -> None:
        segment = self.spooled(workspace, "refused") + self.spooled(workspace, "invalid_arguments")
        for _ in range(3):
            ledger.move(segment)
        assert self.sums(workspace) == {("m", "simple", "implicit"): (0, 0.75)}

    def test_answers_without_a_signal_speak_for_the_prior(self, workspace: Workspace) -> None:
        item = {"model": "m", "complexity": "simple", "signal": "answered", "prior": 0.75}
        ledger.move(self.spooled(workspace, item))
        [(good, bad)] = self.sums(workspace).values()
        assert good + bad == pytest.approx(calibration.ANSWERED_WEIGHT * calibration.ANSWERED_SAMPLE)
        assert posterior(0.75, good, bad) == pytest.approx(0.75)

    def test_all_of_it_weighs_no_more_than_its_cap(self, workspace: Workspace) -> None:
        answered = {"model": "m", "complexity": "simple", "signal": "answered", "prior": 1.0}
        ledger.move(b"".join(self.spooled(workspace, answered) for _ in range(50)))
        assert self.sums(workspace) == {("m", "simple", "implicit"): (calibration.IMPLICIT_CAP, 0)}
        for _ in range(5):
            ledger.move(b"".join(self.spooled(workspace, "invalid_json") for _ in range(100)))
        [(good, bad)] = self.sums(workspace).values()
        assert good + bad == pytest.approx(calibration.IMPLICIT_CAP)
        assert good < 1, "what is old gives way"
        assert posterior(0.9, good, bad) >= 0.45

    def test_what_is_not_known_is_passed_over(self, workspace: Workspace) -> None:
        odd: list[dict[str, Any] | str] = [
            {"model": "m", "complexity": "simple", "signal": "of a later version"},
            {"model": "m", "complexity": "simple", "signal": "answered"},
            {"model": "m", "complexity": "simple", "signal": "refused", "prior": 0.5},
        ]
        ledger.move(self.spooled(workspace, *odd))
        assert self.sums(workspace) == {}
        assert ledger._connection is not None

    def test_records_without_evidence_are_entered_as_ever(self, workspace: Workspace) -> None:
        key = type("Key", (), {"id": uuid7(), "workspace_id": workspace.pk})
        for nothing in ("null", "[]", "{}"):
            ledger.move(line(spooled_record(key, evidence=orjson.Fragment(nothing))))  # type: ignore[arg-type]
        assert self.sums(workspace) == {}

    def test_each_workspace_is_announced_once_for_a_batch(self, workspace: Workspace) -> None:
        ledger.move(self.spooled(workspace, "refused"))
        assert ledger._connection is not None
        ledger._connection.execute("LISTEN gateway_config")
        items = [{"model": name, "complexity": "simple", "signal": "refused"} for name in ("m", "n", "o")]
        ledger.move(self.spooled(workspace, *items) + self.spooled(workspace, *items))
        notes = [note.payload for note in ledger._connection.notifies(timeout=0.2)]
        assert [note for note in notes if note.endswith(str(workspace.pk))] == [f"evidence:{workspace.pk}"]


class TestExplicit:
    """What `POST /v1/feedback` stores."""

    pytestmark = pytest.mark.django_db(transaction=True)
    key_id = str(uuid7())

    def give(self, workspace: Workspace, request_id: UUID, score: float) -> dict[str, Any] | None:
        return feedback.store(str(workspace.pk), self.key_id, Judgement(request_id, score))

    def sums(self) -> list[tuple[str, float, float]]:
        return [(row.source, row.good, row.bad) for row in Evidence.objects.all()]

    def test_it_is_evidence_about_the_model_that_answered(self, workspace: Workspace) -> None:
        request = answered_record(workspace)
        stored = self.give(workspace, request.id, -0.5)
        assert stored is not None
        assert (stored["score"], stored["model"], stored["complexity"]) == (-0.5, "gpt-5", "simple")
        assert self.sums() == [("explicit", 0, 0.5)]

    def test_the_last_word_counts(self, workspace: Workspace) -> None:
        request = answered_record(workspace)
        for score in (1.0, -1.0, -1.0, 0.25):
            self.give(workspace, request.id, score)
        assert self.sums() == [("explicit", 0.25, 0)]
        assert [row.score for row in Feedback.objects.all()] == [0.25]

    def test_many_at_once_count_as_one(self, workspace: Workspace) -> None:
        request = answered_record(workspace)

        def at_once(score: float) -> None:
            try:
                self.give(workspace, request.id, score)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(at_once, [1.0, -1.0, 0.5, -0.5] * 10))
        last = Feedback.objects.get().score
        good, bad = calibration.judged(last)
        assert self.sums() == [("explicit", good, bad)]

    def test_another_workspaces_request_is_none(self, workspace: Workspace, stranger: Any) -> None:
        request = answered_record(workspace)
        assert self.give(stranger.workspace, request.id, 1.0) is None
        assert self.give(workspace, uuid7(), 1.0) is None
        assert not Feedback.objects.exists()
        assert not Evidence.objects.exists()

    def test_a_request_of_last_year_can_be_judged(self, workspace: Workspace) -> None:
        request = answered_record(workspace, minutes=-500 * 24 * 60)
        assert self.give(workspace, request.id, 1.0) is not None
        assert self.sums() == [("explicit", 1, 0)]

    @pytest.mark.parametrize(
        "columns", [{"status": 503, "model": "", "provider": ""}, {"status": 502}, {"complexity": ""}], ids=str
    )
    def test_a_failure_is_kept_and_is_no_models_answer(self, workspace: Workspace, columns: dict[str, Any]) -> None:
        request = answered_record(workspace, **columns)
        assert self.give(workspace, request.id, -1.0) is not None
        assert Feedback.objects.get().score == -1
        assert not Evidence.objects.exists()
