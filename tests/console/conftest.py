"""Fixtures of the tests of pages."""

import pytest

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
