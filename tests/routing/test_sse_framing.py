"""A stream's bytes may be cut anywhere; its events are passed on whole and unchanged."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from analytics.usage import Usage
from keys.kinds import KINDS
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.meter import _Stream
from routing.providers import sse
from routing.providers.base import Target

EVENTS = st.lists(
    st.builds(
        lambda text, ending: b"data: " + orjson.dumps({"choices": [{"delta": {"content": text}}]}) + ending,
        st.text(max_size=20),
        st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    ),
    min_size=1,
    max_size=8,
)
TARGET = Target("0", "p", KINDS["openai"], "http://localhost/v1", "gpt-4o-mini", False, None)


def blocks(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The blocks that come out when the stream arrives in pieces cut at `cuts`."""
    found, rest, at = [], b"", 0
    for cut in [*sorted(cuts), len(stream)]:
        buffered = rest + stream[at:cut]
        at = max(at, cut)
        end = sse.whole_events(buffered)
        rest = buffered[end:]
        if end:
            found.append(buffered[:end])
    assert rest == b""
    return found


@given(EVENTS, st.lists(st.integers(0, 600), max_size=12))
def test_blocks_are_whole_events_and_lose_nothing(events: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(events)
    found = blocks(stream, [min(cut, len(stream)) for cut in cuts])
    assert b"".join(found) == stream
    ends = {sum(map(len, events[:count])) for count in range(1, len(events) + 1)}
    at = 0
    for block in found:
        at += len(block)
        assert at in ends


def passed_on(wanted: bool, *stream: bytes) -> tuple[bytes, Usage | None]:
    exchange = Exchange(CHAT, target=TARGET, usage_wanted=wanted)
    metered = _Stream(exchange)
    return b"".join(metered.pass_on(block) for block in stream), exchange.usage


CHUNK = b'data: {"choices":[{"delta":{"content":"\\"usage\\": {"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'


@given(EVENTS, st.booleans())
def test_usage_that_was_not_asked_for_leaves_no_trace(events: list[bytes], together: bool) -> None:
    with_null = [event.replace(b'{"choices"', b'{"id":"1","usage":null,"choices"', 1) for event in events]
    plain = [event.replace(b'{"choices"', b'{"id":"1","choices"', 1) for event in events]
    stream = [*with_null, USAGE, sse.DONE]
    shown, usage = passed_on(False, *([b"".join(stream)] if together else stream))
    assert shown == b"".join(plain) + sse.DONE
    assert usage is not None
    assert (usage.prompt, usage.completion) == (3, 2)


def test_usage_that_was_asked_for_passes_unchanged() -> None:
    stream = CHUNK + USAGE + sse.DONE
    shown, usage = passed_on(True, stream)
    assert shown == stream
    assert usage is not None


def test_text_that_looks_like_usage_is_text() -> None:
    shown, usage = passed_on(False, CHUNK, sse.DONE)
    assert shown == CHUNK + sse.DONE
    assert usage is None


def test_usage_beside_the_last_words_is_read_and_shown() -> None:
    last = b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}\r\n\r\n'
    shown, usage = passed_on(False, CHUNK, last)
    assert shown == CHUNK + last
    assert usage is not None


def test_the_end_is_known_with_and_without_a_space() -> None:
    assert sse.ends(CHUNK + b"data: [DONE]\n\n")
    assert sse.ends(b"data:[DONE]\r\n\r\n")
    assert not sse.ends(b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n')
