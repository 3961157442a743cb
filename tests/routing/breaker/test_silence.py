"""A target that many wait for and nobody hears from is left before the first request times out."""

from routing.health import Health
from tests.routing.breaker.flights import TARGET, Clock, answer, begin, state_of


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
