"""Fixtures of the tests of pages."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Caller
from keys import services
from keys.models import GatewayKey, Provider
from tests.console.browser import Browser


@pytest.fixture
def browser(owner: Caller) -> Browser:
    """The console as `owner`."""
    return Browser(owner)


@pytest.fixture
def demo(owner: Caller) -> Provider:
    return services.create_provider(owner, {"kind": "demo", "name": "demo"})


@pytest.fixture
def key(owner: Caller) -> GatewayKey:
    return services.create_key(owner, {"name": "chatbot"})[0]


def queries_of(act: Callable[[], object]) -> int:
    """How many queries `act` takes."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return len(captured)
