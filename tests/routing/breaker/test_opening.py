"""When it opens, and what does not open it: failures, rate limits, refused secrets, clients."""

import itertools
import math

import pytest

from keys.vault import Secret
from routing.breaker import COOL_DOWN, LONGEST_RETRY_AFTER
from routing.health import Health, credential
from tests.routing.breaker.flights import TARGET, Clock, answer, begin, broken, make_target, state_of


def test_a_target_that_was_never_asked_may_be(health: Health) -> None:
    assert health.state(TARGET.key) is None
    assert health.available(TARGET.key, health.clock())


def test_it_opens_before_five_requests_felt_it(health: Health) -> None:
    felt = 0
    while (flight := health.begin(TARGET, stream=False)) is not None:
        flight.failed("HTTP 503")
        felt += 1
    assert felt <= 5
    assert state_of(health).breaker == "open"
    assert "HTTP 503" in state_of(health).reason
    assert not health.available(TARGET.key, health.clock())


def test_a_failure_now_and_then_does_not_open_it(health: Health, clock: Clock) -> None:
    for number in range(400):
        clock.now += 0.1
        if number % 8 == 7:
            begin(health).failed("HTTP 500")
        else:
            answer(health)
        assert state_of(health).breaker == "closed"
    assert 0.1 < state_of(health).error_rate < 0.15


def test_answers_that_often_fail_open_it(health: Health, clock: Clock) -> None:
    for number in itertools.count():
        clock.now += 0.1
        if (flight := health.begin(TARGET, stream=False)) is None:
            break
        if number % 3:
            flight.failed("HTTP 500")
        else:
            flight.first_byte()
            flight.completed(1)
        assert number < 100
    assert "often fails" in state_of(health).reason


def test_streams_that_break_off_open_it_although_each_begins_well(health: Health, clock: Clock) -> None:
    for _ in range(20):
        clock.now += 0.1
        flight = health.begin(TARGET, stream=True)
        if flight is None:
            break
        flight.first_byte()
        flight.broke_off("the connection broke during the answer")
    assert state_of(health).breaker == "open"


def test_a_client_that_leaves_does_not_count(health: Health) -> None:
    for _ in range(20):
        begin(health).given_up()
    state = state_of(health)
    assert (state.breaker, state.error_rate, state.in_flight) == ("closed", 0.0, 0)


def test_a_clients_fault_does_not_count_and_shows_that_the_target_lives(health: Health, clock: Clock) -> None:
    for _ in range(20):
        begin(health).refused()
    assert (state_of(health).breaker, state_of(health).error_rate) == ("closed", 0.0)
    broken(health)
    clock.now += COOL_DOWN
    begin(health).refused()
    assert state_of(health).breaker == "closed"


@pytest.mark.parametrize(("asked_for", "waited"), [(7.0, 7.0), (3600.0, LONGEST_RETRY_AFTER), (0.0, 0.0)])
def test_a_rate_limit_rests_as_long_as_was_asked_and_is_no_failure(
    health: Health, clock: Clock, asked_for: float, waited: float
) -> None:
    begin(health).limited("it limits our rate", asked_for)
    state = state_of(health)
    assert state.breaker == "open"
    assert state.retry_at - clock.now == waited
    assert state.error_rate == 0.0


def test_a_failure_that_says_when_to_come_back_is_believed_at_once(health: Health, clock: Clock) -> None:
    begin(health).failed("HTTP 503", retry_after=4.0)
    assert not health.available(TARGET.key, clock.now + 3.9)
    assert health.available(TARGET.key, clock.now + 4.0)


def test_the_last_resort_is_asked_although_it_rests(health: Health) -> None:
    broken(health)
    assert health.begin(TARGET, stream=False) is None
    flight = begin(health, last_resort=True)
    flight.first_byte()
    assert state_of(health).breaker == "closed"


def test_a_refused_secret_rests_until_there_is_another(health: Health, clock: Clock) -> None:
    old, new = Secret("sk-old", "1"), Secret("sk-new", "2")
    has = {"secret": old}
    health.credential_of = lambda provider_id: credential(has["secret"], TARGET.base_url)
    begin(health, make_target(secret=old)).denied(credential(old, TARGET.base_url), "it refuses our secret (HTTP 401)")
    clock.now += 1_000_000
    assert state_of(health).denied
    assert not health.available(TARGET.key, clock.now)
    assert health.begin(TARGET, stream=False, last_resort=True) is None
    has["secret"] = new
    assert health.available(TARGET.key, clock.now)
    assert state_of(health).breaker == "closed"


def test_a_late_refusal_of_the_old_secret_does_not_close_out_the_new_one(health: Health, clock: Clock) -> None:
    old, new = Secret("sk-old", "1"), Secret("sk-new", "2")
    health.credential_of = lambda provider_id: credential(new, TARGET.base_url)
    begin(health).denied(credential(old, TARGET.base_url), "it refuses our secret (HTTP 401)")
    assert health.available(TARGET.key, clock.now)


def test_a_refused_secret_cannot_be_read_from_what_is_kept() -> None:
    kept = credential(Secret("sk-very-secret", "mark"), "http://localhost/v1")
    assert kept == credential(Secret("another", "mark"), "http://localhost/v1")  # the text does not enter it


def test_retry_at_of_a_refused_secret_is_never(health: Health) -> None:
    begin(health).denied("x", "it refuses our secret")
    assert state_of(health).retry_at == math.inf
