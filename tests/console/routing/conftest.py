"""A fleet of two providers, and a policy."""

import pytest

from accounts.access import Caller
from keys import services as keys
from keys.models import Provider
from routing import services, snapshot
from routing.models import Policy


@pytest.fixture
def fleet(owner: Caller) -> Provider:
    """A cloud provider and a local one, known to the request path."""
    provider = keys.create_provider(
        owner, {"kind": "openai", "name": "cloud", "api_key": "sk-1", "models": ["gpt-4o-mini", "gpt-5"]}
    )
    keys.create_provider(
        owner, {"kind": "vllm", "name": "house", "base_url": "http://127.0.0.1:9", "models": ["llama3.1:8b"]}
    )
    snapshot.current.read_all()
    return provider


@pytest.fixture
def policy(owner: Caller) -> Policy:
    return services.create_policy(
        owner, {"name": "frugal", "weights": {"cost": 1}, "cache": {"semantic": True, "threshold": 0.9}}
    )
