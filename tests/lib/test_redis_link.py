"""The client of Redis on the request path: it never keeps a request waiting for a Redis that is away."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.lib import resp
from gateway_project.lib.redis_link import PATIENCE, RedisAway, RedisLink, RedisRefused, Script
from tests.redis_server import PASSWORD, RedisServer, running_redis
from tests.waiting import until

ECHO = Script("return {KEYS[1], ARGV[1]}")
PUT = Script("return redis.call('SET', KEYS[1], ARGV[1])")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as running:
        yield running


@pytest.fixture
async def link(server: RedisServer) -> AsyncIterator[RedisLink]:
    made = RedisLink(server.url)
    yield made
    await made.close()


async def test_it_answers_commands_and_scripts(link: RedisLink) -> None:
    assert await link.call("SET", "name", b"\x00\r\nvalue") == b"OK"
    assert await link.call("GET", "name") == b"\x00\r\nvalue"
    assert await link.call("GET", "nothing") is None
    assert await link.call("INCRBY", "n", 7) == 7
    assert await link.call("LRANGE", "nothing", 0, -1) == []
    assert await link.run(ECHO, ["ä"], [1.5]) == ["ä".encode(), b"1.5"]
    assert link.connected
    assert link.epoch == 1


async def test_a_long_value_comes_back_whole(link: RedisLink) -> None:
    value = bytes(range(256)) * 20_000
    await link.call("SET", "long", value)
    replies = await asyncio.gather(link.call("GET", "long"), link.call("PING"), link.call("GET", "long"))
    assert list(replies) == [value, b"PONG", value]


async def test_what_is_asked_at_once_is_sent_at_once(link: RedisLink, server: RedisServer) -> None:
    await link.call("PING")
    with server.client() as client:
        before = client.info()["total_reads_processed"]
        replies = await asyncio.gather(*(link.call("INCR", "n") for _ in range(200)))
        reads = client.info()["total_reads_processed"] - before
    assert replies == list(range(1, 201))
    assert reads < 10


async def test_an_error_is_raised_and_the_next_command_is_answered(link: RedisLink) -> None:
    await link.call("SET", "text", "x")
    with pytest.raises(RedisRefused, match="WRONGTYPE") as raised:
        await link.call("LPUSH", "text", "y")
    assert raised.value.code == "WRONGTYPE"
    assert await link.call("PING") == b"PONG"


async def test_a_script_that_redis_forgot_is_sent_again(link: RedisLink) -> None:
    await link.call("SCRIPT", "FLUSH")
    assert await link.run(ECHO, ["k"], ["v"]) == [b"k", b"v"]
    await link.call("SCRIPT", "FLUSH")
    link.send_script(PUT, ["k"], ["later"])
    await link.call("PING")
    assert await link.call("GET", "k") == b"later"


async def test_what_nobody_waits_for_is_done_in_order(link: RedisLink) -> None:
    await link.call("PING")
    link.send("SET", "n", 1)
    link.send_script(PUT, ["n"], [2])
    link.send("INCR", "n")
    assert await link.call("GET", "n") == b"3"


async def test_one_who_gave_up_waiting_takes_nobody_elses_answer(link: RedisLink) -> None:
    await link.call("PING")
    waiting = asyncio.ensure_future(link.call("ECHO", "first"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await link.call("ECHO", "second") == b"second"


async def test_a_redis_that_ends_is_away_at_once_and_is_found_again(link: RedisLink, server: RedisServer) -> None:
    epochs: list[int] = []
    link.on_connect(lambda: epochs.append(link.epoch))
    await link.call("SET", "kept", 1)
    server.stop()
    await until(lambda: not link.connected, 1)
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(RedisAway):
            await link.call("PING")
    assert time.monotonic() - began < 0.1
    link.send("SET", "lost", 1)
    server.start()
    await until(lambda: link.connected, 3)
    assert await link.call("MGET", "kept", "lost") == [None, None]
    assert await link.run(ECHO, ["k"], ["v"]) == [b"k", b"v"]
    assert epochs == [1, 2]


async def test_a_redis_that_hangs_is_given_up_after_its_patience(link: RedisLink, server: RedisServer) -> None:
    await link.call("PING")
    server.hang()
    began = time.monotonic()
    answers = await asyncio.gather(*(link.call("PING") for _ in range(50)), return_exceptions=True)
    took = time.monotonic() - began
    assert {type(answer) for answer in answers} == {RedisAway}
    assert PATIENCE * 0.8 <= took < PATIENCE + 0.3
    began = time.monotonic()
    with pytest.raises(RedisAway):
        await link.call("PING")
    assert time.monotonic() - began < 0.05
    server.wake()
    await until(lambda: link.connected, 4)
    assert await link.call("PING") == b"PONG"


async def test_a_loop_that_was_busy_does_not_take_redis_for_silent(link: RedisLink) -> None:
    await link.call("PING")
    asked = asyncio.ensure_future(link.call("ECHO", "x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(3 * PATIENCE)  # noqa: ASYNC251  (that is the point)
    assert await asked == b"x"
    assert link.epoch == 1


async def test_a_redis_that_was_never_there_is_waited_for_once(server: RedisServer) -> None:
    server.stop()
    link = RedisLink(server.url)
    began = time.monotonic()
    with pytest.raises(RedisAway):
        await link.call("PING")
    assert time.monotonic() - began < PATIENCE + 0.2
    server.start()
    await until(lambda: link.connected, 3)
    await link.close()


async def test_a_wrong_password_is_away_and_not_shown(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    link = RedisLink(server.url.replace(PASSWORD, "hunter-2-wrong"))
    with caplog.at_level(logging.DEBUG), pytest.raises(RedisAway):
        await link.call("PING")
    assert "hunter" not in caplog.text + repr(link) + repr(link.address)
    assert "WRONGPASS" in caplog.text
    await link.close()


async def test_each_loop_has_a_connection_of_its_own(link: RedisLink) -> None:
    assert await link.call("PING") == b"PONG"

    async def elsewhere() -> bytes:
        try:
            return bytes(await link.call("ECHO", "there"))
        finally:
            await link.close()

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == b"there"
    assert await link.call("PING") == b"PONG"
    assert link.epoch == 2


async def test_a_full_redis_refuses_and_stays_connected(link: RedisLink, caplog: pytest.LogCaptureFixture) -> None:
    await link.call("CONFIG", "SET", "maxmemory", 1)
    for _ in range(5):
        link.send("SET", "k", "v")
    with pytest.raises(RedisRefused, match="OOM"):
        await link.run(PUT, ["k"], ["v"])
    assert await link.call("PING") == b"PONG"
    assert len([record for record in caplog.records if "OOM" in record.message]) == 1


# --- The protocol --------------------------------------------------------------------------------

REPLIES = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=4)
)


def wire(reply: object) -> bytes:
    """`reply` as Redis sends it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    assert isinstance(reply, list)
    return b"*%d\r\n" % len(reply) + b"".join(map(wire, reply))


@given(st.lists(REPLIES, max_size=5), st.lists(st.integers(0, 200), max_size=8))
def test_replies_are_read_however_they_are_cut(replies: list[object], cuts: list[int]) -> None:
    sent = b"".join(map(wire, replies))
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    reader = resp.Replies()
    read = [one for a, b in itertools.pairwise(edges) for one in reader.feed(sent[a:b])]
    assert read == replies


@pytest.mark.parametrize("sent", [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b":1.5\r\n", b"*z\r\n"])
def test_what_is_no_redis_is_said_to_be_none(sent: bytes) -> None:
    with pytest.raises(resp.NotRedis):
        list(resp.Replies().feed(sent))
