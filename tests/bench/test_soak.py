"""The soak's own sums: each record of the ledger is what the provider said, also over some seconds of mixed traffic."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from bench import soak, soak_sums, soak_traffic

# Five thousand requests take a minute: `make soak` has ten.
SECONDS = 12


def ill_at_times(schedule: soak.Schedule) -> Iterator[tuple[float, str, Callable[[], None]]]:
    """Failing, hanging and breaking off, without anybody being killed."""
    for share, words, mode in ((0.2, "ill", soak.ILL), (0.5, "well", soak.WELL), (0.6, "ill", soak.ILL)):
        yield share, f"the provider is {words}", lambda mode=mode: schedule._mode(mode)  # type: ignore[misc]
    yield 0.9, "the provider is well", lambda: schedule._mode(soak.WELL)


def test_an_estimate_of_what_the_provider_told_is_a_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_sums, "_price", lambda model: (Decimal(1), Decimal(0), Decimal(2)))
    told: dict[int, list[tuple[Any, ...]]] = {1: [(10, 0, 5)]}

    def flaws(*, whole: bool, **fields: Any) -> list[str]:
        answer = soak_traffic.Answer(1, "streamed", 0.0, "id", 200, whole)
        row = soak_sums.Row("id", 200, 10, 0, 5, False, Decimal(20), "miss", "m", "key", Decimal(0))
        return soak_sums._wrong_usage([answer], {"id": dataclasses.replace(row, **fields)}, told)

    assert flaws(whole=True) == []
    assert flaws(whole=False, estimated=True, completion=4) == []
    assert len(flaws(whole=True, estimated=True)) == 1
    assert len(flaws(whole=True, completion=4, cost=Decimal(18))) == 1
    assert len(flaws(whole=True, cost=Decimal("20.000000000001"))) == 1


def test_estimates_far_from_what_the_provider_counted_are_a_flaw() -> None:
    answer = soak_traffic.Answer(1, "untold", 0.0, "id", 200, True)
    row = soak_sums.Row("id", 200, 100, 0, 50, True, Decimal(20), "miss", "m", "key", Decimal(0))

    def flaws(prompt: int, completion: int, *, estimated: bool = True, whole: bool = True) -> list[str]:
        rows = {"id": dataclasses.replace(row, estimated=estimated)}
        return soak_sums._wrong_estimates([dataclasses.replace(answer, whole=whole)], rows, {1: [prompt, completion]})

    assert flaws(104, 48) == []
    assert len(flaws(110, 48)) == 1
    assert len(flaws(104, 40)) == len(flaws(104, 60)) == 1
    # More was under way than had come.
    assert flaws(104, 60, whole=False) == []
    assert len(flaws(104, 40, whole=False)) == 1
    assert len(flaws(100, 50, estimated=False)) == 1


def test_who_could_not_be_served_by_anybody_is_no_flaw() -> None:
    told = soak_sums.NOBODY[0]

    def flaws(at: float, **fields: Any) -> list[str]:
        traffic = soak_traffic.Traffic("", "", ())
        traffic.notes = [(10.0, "the provider is ill"), (20.0, "the provider is well"), (30.0, "a process is killed")]
        answer = soak_traffic.Answer(1, "whole", at, "", 503, False, told)
        traffic.answers = [
            soak_traffic.Answer(2, "retried", 30.0, "", 0, False, "cut off"),
            dataclasses.replace(answer, **fields),
        ]
        return soak_sums._unserved(traffic)

    assert flaws(15.0) == []
    assert len(flaws(25.0)) == 1
    assert len(flaws(15.0, problem="500 a fault")) == 1
    assert flaws(29.0, problem="reset") == []
    # Its key is held until its process counts as dead.
    assert flaws(40.0, number=2, status=409, problem="still running") == []
    assert len(flaws(40.0, status=409, problem="still running")) == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_thousands_of_mixed_requests_cost_what_the_provider_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Streamed, not, given up, failed, retried, cached, refused: tokens and cost to the last decimal."""
    monkeypatch.setattr(soak_traffic, "REST", 0.01)
    monkeypatch.setattr(soak.Schedule, "events", ill_at_times)

    wrong = soak.run(SECONDS)

    said = capsys.readouterr().out
    assert not wrong, said
    counted = re.search(r"^([\d,]+) requests", said, re.M)
    assert counted is not None
    assert int(counted[1].replace(",", "")) > 30 * SECONDS, said
    assert "missing from the ledger: 0; ids given twice: 0" in said
