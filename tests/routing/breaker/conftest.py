"""A health of targets whose time passes when a test says so."""

import pytest

from routing.health import Health
from tests.routing.breaker.flights import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)
