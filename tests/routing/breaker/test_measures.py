"""What is measured of a target, and how it fades: errors, speed, races, and how much is kept."""

import pytest

from routing.breaker import FAILURES
from routing.health import MANY, Health
from routing.target_state import MOVED, RETEST_AFTER
from tests.routing.breaker.flights import Clock, answer, begin, broken, make_target, state_of


def test_the_error_rate_fades(health: Health, clock: Clock) -> None:
    for _ in range(FAILURES - 1):
        begin(health).failed("HTTP 500")
    before = state_of(health).error_rate
    clock.now += 30
    assert state_of(health).error_rate < before
    clock.now += 600
    assert state_of(health).error_rate < 0.001


def test_who_failed_and_is_not_asked_any_more_gets_another_chance(health: Health, clock: Clock) -> None:
    """Else one failure would put a target behind its neighbours for minutes."""
    answer(health)
    begin(health).failed("HTTP 500")
    state = state_of(health)
    assert state.risk == state.error_rate > 0
    clock.now += RETEST_AFTER
    assert (state.breaker, state.risk) == ("closed", 0.0)
    again = begin(health)
    assert again.is_trial
    assert state.risk > 0  # one at a time
    again.failed("HTTP 500")
    assert state.risk > 0
    clock.now += RETEST_AFTER
    answer(health)
    assert state.risk == state.error_rate == 0.0


def test_an_open_breaker_needs_no_risk_beside_it(health: Health, clock: Clock) -> None:
    broken(health)
    assert state_of(health).error_rate > 0
    assert state_of(health).risk == 0.0


def test_speed_is_measured(health: Health, clock: Clock) -> None:
    for _ in range(5):
        flight = begin(health, stream=True)
        clock.now += 0.5
        flight.first_byte()
        clock.now += 2.0
        flight.completed(100)
    assert state_of(health).ttft_s == pytest.approx(0.5)
    assert state_of(health).tokens_per_s == pytest.approx(50.0)


def test_the_speed_of_whole_answers_is_measured(health: Health, clock: Clock) -> None:
    for tokens, seconds in ((5, 0.5), (100, 2.5)):
        flight = begin(health)
        clock.now += seconds
        flight.first_byte()
        flight.completed(tokens)
    assert state_of(health).ttft_s == pytest.approx(0.5)
    assert state_of(health).tokens_per_s == pytest.approx(50.0)


def test_policies_are_told_of_a_speed_once_it_has_moved(health: Health, clock: Clock) -> None:
    begin(health).given_up()
    state = state_of(health)
    assert state.speeds is None
    for _ in range(100):
        state.measured(clock.now, ttft_s=1.0, tokens_per_s=50.0)
    told = state.speeds
    assert told == (1.0, 50.0)
    state.measured(clock.now, ttft_s=1.5)
    assert state.speeds is told, "half of a hundredth"
    for _ in range(3):
        state.measured(clock.now, ttft_s=1.5)
    assert state.speeds != told, "little by little it has moved all the same"
    assert state.speeds == (pytest.approx(state.ttft_s, rel=MOVED), 50.0)


def test_the_95th_percentile_needs_samples_and_holds_streams_apart(health: Health, clock: Clock) -> None:
    for number in range(1, 41):
        assert (state_of(health).p95(stream=True) is None) == (number <= 20) if number > 1 else True
        flight = begin(health, stream=True)
        clock.now += number / 100
        flight.first_byte()
        flight.completed(1)
    assert state_of(health).p95(stream=True) == pytest.approx(0.38)
    assert state_of(health).p95(stream=False) is None


def test_what_lost_a_race_counts_as_late(health: Health, clock: Clock) -> None:
    """Else the percentile would forget every late answer, and more and more would be late."""
    for number in range(40):
        flight = begin(health, stream=True)
        clock.now += 0.1
        if number % 2:
            flight.first_byte()
            flight.completed(1)
        else:
            clock.now += 0.4
            flight.lost()
    assert state_of(health).p95(stream=True) == pytest.approx(0.5)


def test_at_most_one_request_in_ten_is_raced(health: Health) -> None:
    raced = 0
    for _ in range(1000):
        flight = begin(health)
        raced += flight.state.may_hedge()
        flight.given_up()
    assert raced == pytest.approx(100, abs=2)


def test_memory_is_bounded_whatever_clients_name(health: Health, clock: Clock) -> None:
    under_way = begin(health, make_target("busy"))
    for number in range(3 * MANY):
        clock.now += 0.001
        broken(health, make_target(f"model-{number}"))
    assert len(health.states()) <= MANY
    assert state_of(health, make_target("busy")).in_flight == 1
    under_way.given_up()
    assert state_of(health, make_target("busy")).in_flight == 0


def test_a_flight_ends_once(health: Health) -> None:
    flight = begin(health)
    flight.first_byte()
    flight.completed(1)
    flight.failed("too late")
    flight.given_up()
    assert state_of(health).in_flight == 0
    assert state_of(health).error_rate == 0.0
