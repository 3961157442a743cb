"""When a target is asked, and when not: the breaker alone, and as the health of a target uses it."""

import itertools
import math

import pytest

from keys.kinds import KINDS
from keys.vault import Secret
from routing.breaker import COOL_DOWN, FAILURES, LONGEST_COOL_DOWN, LONGEST_RETRY_AFTER
from routing.flight import Flight
from routing.health import MANY, Health, credential
from routing.providers.base import Target
from routing.target_state import RETEST_AFTER, TargetState

_numbers = itertools.count()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


def make_target(model: str = "m", secret: Secret | None = None) -> Target:
    return Target("provider", "p", KINDS["openai_compatible"], "http://localhost/v1", model, True, secret)


TARGET = make_target()


def begin(health: Health, target: Target = TARGET, *, last_resort: bool = False, stream: bool = False) -> Flight:
    flight = health.begin(target, stream=stream, last_resort=last_resort)
    assert flight is not None
    return flight


def answer(health: Health, target: Target = TARGET) -> None:
    flight = begin(health, target)
    flight.first_byte()
    flight.completed(10)


def state_of(health: Health, target: Target = TARGET) -> TargetState:
    state = health.state(target.key)
    assert state is not None
    return state


def broken(health: Health, target: Target = TARGET) -> None:
    for _ in range(FAILURES):
        begin(health, target).failed("HTTP 503")


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


def warm(health: Health, clock: Clock) -> None:
    for _ in range(25):
        flight = begin(health)
        clock.now += 0.1
        flight.first_byte()
        flight.completed(1)


def test_a_silent_target_is_left_long_before_the_first_request_times_out(health: Health, clock: Clock) -> None:
    warm(health, clock)
    waiting = []
    while health.available(TARGET.key, clock.now):
        waiting.append(begin(health))
        clock.now += 0.1
        assert len(waiting) < 10
    assert "answered nobody" in state_of(health).reason
    clock.now = state_of(health).retry_at
    probe = begin(health)
    assert not health.available(TARGET.key, clock.now)
    probe.first_byte()
    assert health.available(TARGET.key, clock.now + 60)
    for flight in waiting:
        flight.failed("no answer within 120 s", too_slow=True)
    assert state_of(health).breaker == "closed"


def test_whoever_hears_something_ends_the_silence(health: Health, clock: Clock) -> None:
    warm(health, clock)
    waiting = [begin(health) for _ in range(4)]
    clock.now += 2
    assert not health.available(TARGET.key, clock.now)
    waiting[0].first_byte()
    assert state_of(health).breaker == "closed"


def test_a_request_that_hangs_among_others_that_are_answered_is_no_silence(health: Health, clock: Clock) -> None:
    warm(health, clock)
    for _ in range(20):
        begin(health)  # hangs
        clock.now += 0.1
        answer(health)
        assert health.available(TARGET.key, clock.now + 100)


def test_idle_time_is_no_silence(health: Health, clock: Clock) -> None:
    warm(health, clock)
    for flight in [begin(health) for _ in range(5)]:
        flight.given_up()
    clock.now += 1000
    assert health.available(TARGET.key, clock.now)
    for _ in range(5):
        begin(health)
    assert health.available(TARGET.key, clock.now)


def test_what_began_before_it_died_does_not_close_it(health: Health, clock: Clock) -> None:
    early = begin(health)
    clock.now += 1
    broken(health)
    early.first_byte()
    assert state_of(health).breaker == "open"


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


def test_retry_at_of_a_refused_secret_is_never(health: Health) -> None:
    begin(health).denied("x", "it refuses our secret")
    assert state_of(health).retry_at == math.inf
