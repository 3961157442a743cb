"""Fixtures of the tests of keys and providers."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from accounts.access import Caller
from keys import services
from keys.models import Provider
from tests.api_client import ApiClient
from tests.keys.receiver import PATH, Receiver
from tests.keys.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.models("tiny", "large")
        running.json("/health", {})
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def made(api: ApiClient, receiver: Receiver) -> dict[str, Any]:
    """A webhook to the receiver, with its secret."""
    answer = api.post(PATH, url=receiver.hook)
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json
    return made


@pytest.fixture
def provider(owner: Caller, server: Server) -> Provider:
    """A provider of `owner`'s workspace with a secret, at `server`."""
    return services.create_provider(
        owner, {"kind": "vllm", "name": "box", "base_url": server.url, "api_key": "sk-stored-0123456789"}
    )


@pytest.fixture(autouse=True)
def _local_hosts(settings: Settings) -> None:
    """What an embedded installation allows, whatever the default of the day."""
    settings.ALLOWED_PRIVATE_HOSTS = ("localhost", "127.0.0.1", "::1")
    settings.ENVIRONMENT_HOSTS = ()
