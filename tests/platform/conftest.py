from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.platform.gateway import Gateway

Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(PORT="9000")` starts a gateway with these variables; the test's end ends it."""
    started: list[Gateway] = []

    def begin(folder: Path = tmp_path, **variables: str) -> Gateway:
        gateway = Gateway(folder, **variables)
        started.append(gateway)
        return gateway

    yield begin
    for gateway in started:
        gateway.kill()
    for gateway in started:
        gateway.assert_nothing_left()
