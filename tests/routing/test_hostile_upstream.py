"""What a provider can do to the process that asks it: nothing that grows without bound, nothing that delays others."""

import time
from collections.abc import AsyncIterator

import orjson
import pytest

from gateway_project.lib import bounded_json
from gateway_project.lib.errors import RequestTooLarge
from keys.kinds import KINDS
from keys.queries import ProviderFacts
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.http1 import close_pools
from routing.parse import read_body
from routing.providers import sse
from routing.providers.attempt import MAX_COMMENTS, begun, checked
from routing.providers.base import DEFAULT_TIMEOUTS, Failure, Target, UpstreamError
from routing.providers.openai_wire import OpenAIWire
from routing.snapshot import WorkspaceTargets
from tests.routing.stage import decided, ids, request

BLOCKS = {
    "usage in every event": b'data: {"usage":{}}\r\n\r\n' * 20_000,
    "many events before an error": b":\r\n\r\n" * 80_000 + b'data: {"a":[' + b'{"error":1},' * 300 + b"1]}\r\n\r\n",
    "one long event": b'data: {"p":"' + b"x" * 2_000_000 + b'","a":[' + b'{"error":1},' * 300 + b"1]}\n\n",
}


@pytest.mark.parametrize("name", BLOCKS)
def test_reading_a_block_takes_time_in_proportion_to_its_length(name: str) -> None:
    block = BLOCKS[name]
    started = time.process_time()
    list(sse.usage_events(block))
    sse.error_event(block)
    assert time.process_time() - started < 0.5


async def test_comments_without_end_are_given_up() -> None:
    passed = 0

    async def comments() -> AsyncIterator[bytes]:
        nonlocal passed
        while passed < 100 * MAX_COMMENTS:
            passed += 10_000
            yield b": " + b"x" * 9_996 + b"\n\n"

    with pytest.raises(UpstreamError) as raised:
        await begun(comments())
    assert raised.value.failure is Failure.JUNK
    assert passed < 2 * MAX_COMMENTS


BOMB = b'{"model":"m","messages":[{"role":"user"}],"choices":[' + b"[]," * (bounded_json.MAX_VALUES + 1) + b"1]}"


def test_a_document_of_millions_of_values_is_not_read() -> None:
    with pytest.raises(UpstreamError, match="more than 1000000 values"):
        checked(BOMB)
    with pytest.raises(RequestTooLarge, match="more than 50000 objects"):
        read_body(Exchange(CHAT), BOMB, {})


def test_a_long_document_of_few_values_is_read() -> None:
    image = b'{"choices":["' + b"QUFB" * 2_000_000 + b'"]}'
    assert len(checked(image)["choices"][0]) == 8_000_000


def test_what_an_upstream_says_can_be_kept() -> None:
    message = UpstreamError(Failure.STATUS, "a\0b\ud800c").message
    assert message == "ab?c"
    assert orjson.dumps(message)


def facts(name: str, *discovered: str) -> ProviderFacts:
    return ProviderFacts(
        id=name, workspace_id="w", name=name, kind=KINDS["openai_compatible"], base_url="http://localhost/v1",
        secret=None, local=True, enabled=True, model_ids=(), discovered=discovered,
    )  # fmt: skip


def test_a_provider_cannot_take_anothers_requests_by_the_names_it_lists() -> None:
    workspace = WorkspaceTargets.build([facts("thief", "honest/m"), facts("honest", "m")])
    assert ids(decided(request("honest/m"), workspace)) == ["honest/m"]


def target(base_url: str, model: str = "m", *, local: bool = True) -> Target:
    return Target("0", "p", KINDS["openai_compatible"], base_url, model, local, None)


async def test_a_local_providers_request_never_leaves_for_a_public_address() -> None:
    """The address was private when the provider was saved; what a name means can change at any moment."""
    try:
        with pytest.raises(UpstreamError, match=r"8\.8\.8\.8 is a public address") as raised:
            await OpenAIWire().send(
                target("http://8.8.8.8:9/v1"), CHAT.path, {}, stream=False, timeouts=DEFAULT_TIMEOUTS
            )
    finally:
        await close_pools()
    assert raised.value.failure is Failure.CONNECT
