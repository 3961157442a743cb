import contextlib
import io
import json
import logging.config
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_project.logging import config, configure
from tests.platform.gateway import Gateway

Start = Callable[..., Gateway]
Lines = Callable[[], list[dict[str, Any]]]


@contextlib.contextmanager
def starting(there: Path) -> Iterator[Start]:
    """What starts gateways, which the block's end ends."""
    started: list[Gateway] = []

    def begin(folder: Path = there, *, fresh: bool = False, **variables: str) -> Gateway:
        gateway = Gateway(folder, fresh=fresh, **variables)
        started.append(gateway)
        return gateway

    yield begin
    for gateway in started:
        gateway.kill()
    for gateway in started:
        gateway.assert_nothing_left()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(PORT="9000")` starts a gateway with these variables; the test's end ends it."""
    with starting(tmp_path) as begin:
        yield begin


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The same for a gateway of all tests in a module: each that starts costs five seconds of a core."""
    with starting(tmp_path_factory.mktemp("shared")) as begin:
        yield begin


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged, with the very configuration of a gateway that runs without a terminal."""
    stream = io.StringIO()
    settings = config("INFO", terminal=False)
    settings["handlers"]["stderr"]["stream"] = stream
    logging.config.dictConfig(settings)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    configure("INFO")
