from collections.abc import AsyncIterator, Iterator

import pytest

from routing.http1 import close_pools
from tests.routing.litellm.provider import Provider
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(autouse=True)
async def _closed_session() -> AsyncIterator[None]:
    yield
    await close_pools()


@pytest.fixture
def provider(upstream: Upstream, kind: str) -> Provider:
    return Provider(upstream, kind)
