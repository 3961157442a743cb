"""A clock that tests advance, and what can become of a request to a target."""

from keys.kinds import KINDS
from keys.vault import Secret
from routing.breaker import FAILURES
from routing.flight import Flight
from routing.health import Health
from routing.providers.base import Target
from routing.target_state import TargetState


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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
