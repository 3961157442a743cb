"""When it closes again: the probe, what began before, and how long a target rests."""

import pytest

from routing.breaker import COOL_DOWN, LONGEST_COOL_DOWN
from routing.health import Health
from tests.routing.breaker.flights import TARGET, Clock, answer, begin, broken, state_of


def test_one_probe_closes_it(health: Health, clock: Clock) -> None:
    broken(health)
    clock.now += COOL_DOWN
    assert health.available(TARGET.key, clock.now)
    probe = begin(health)
    assert state_of(health).breaker == "half_open"
    assert health.begin(TARGET, stream=False) is None
    assert not health.available(TARGET.key, clock.now)
    probe.first_byte()
    assert state_of(health).breaker == "closed"
    assert state_of(health).error_rate == 0.0
    probe.completed(10)
    answer(health)
    begin(health).failed("HTTP 500")
    assert state_of(health).breaker == "closed"


def test_a_failure_right_after_the_probe_opens_it_again(health: Health, clock: Clock) -> None:
    broken(health)
    clock.now += COOL_DOWN
    answer(health)
    begin(health).failed("HTTP 500")
    assert state_of(health).breaker == "open"


def test_a_target_that_comes_and_goes_rests_longer_each_time(health: Health, clock: Clock) -> None:
    waits = []
    for _ in range(4):
        broken(health)
        waits.append(state_of(health).retry_at - clock.now)
        clock.now = state_of(health).retry_at
        for _ in range(5):
            answer(health)
    assert waits == sorted(set(waits))
    clock.now += 20
    answer(health)
    broken(health)
    assert state_of(health).retry_at - clock.now == COOL_DOWN


def test_the_cool_down_grows_to_its_limit(health: Health, clock: Clock) -> None:
    broken(health)
    waits = []
    for _ in range(6):
        waits.append(state_of(health).retry_at - clock.now)
        clock.now = state_of(health).retry_at
        begin(health).failed("HTTP 503")
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (COOL_DOWN, LONGEST_COOL_DOWN)


@pytest.mark.parametrize("ending", ["given_up", "lost"])
def test_a_probe_whose_client_left_is_free_again(health: Health, clock: Clock, ending: str) -> None:
    broken(health)
    clock.now += COOL_DOWN
    getattr(begin(health), ending)()
    assert health.available(TARGET.key, clock.now)
    answer(health)
    assert state_of(health).breaker == "closed"


def test_what_began_before_a_recovery_says_nothing_about_it(health: Health, clock: Clock) -> None:
    """Requests of the time when it was dead time out long after it is back."""
    hanging = [begin(health) for _ in range(10)]
    broken(health)
    clock.now += COOL_DOWN
    answer(health)
    answer(health)
    for flight in hanging:
        flight.failed("no answer within 120 s", too_slow=True)
    assert state_of(health).breaker == "closed"


def test_what_times_out_after_a_recovery_is_no_failure_of_now(health: Health, clock: Clock) -> None:
    hanging = [begin(health) for _ in range(10)]
    broken(health)
    clock.now += COOL_DOWN
    answer(health)
    for flight in hanging:
        flight.failed("no answer within 120 s", too_slow=True)
    assert state_of(health).error_rate == 0.0


def test_what_began_before_it_died_does_not_close_it(health: Health, clock: Clock) -> None:
    early = begin(health)
    clock.now += 1
    broken(health)
    early.first_byte()
    assert state_of(health).breaker == "open"


def test_a_probe_is_not_waited_for_longer_than_an_answer_takes(health: Health, clock: Clock) -> None:
    flight = begin(health)
    clock.now += 0.2
    flight.first_byte()
    flight.completed(1)
    assert state_of(health).patience(stream=False) == 3.0
    flight = begin(health)
    clock.now += 4.0
    flight.first_byte()
    assert state_of(health).patience(stream=False) == pytest.approx(12.0)


def test_the_patience_with_an_unknown_target_grows(health: Health, clock: Clock) -> None:
    """It may be one whose answers take that long."""
    broken(health)
    before = state_of(health).patience(stream=False)
    clock.now += COOL_DOWN
    begin(health).failed("no answer within 5 s", too_slow=True)
    assert state_of(health).patience(stream=False) == 2 * before
