"""A whole answer as a stream, and back: nothing is lost on the way, and what is not understood is not guessed at."""

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.cache.reshape import ODD, NotUnderstood, as_asked, as_stream, as_whole
from routing.endpoints import CHAT, COMPLETIONS
from routing.providers import sse

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "fp"}
CALL = {"id": "call-1", "type": "function", "function": {"name": "pay", "arguments": '{"a": 1}'}}


def chat(*messages: dict[str, Any], finish: str = "stop", **choice: Any) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", **message},
            "logprobs": None,
            "finish_reason": finish,
            **choice,
        }
        for index, message in enumerate(messages)
    ]
    return {**HEAD, "choices": choices, "usage": USAGE}


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    *events, done, end = stream.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events]


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + sse.DONE


def delta(finish: str | None = None, index: int = 0, **said: Any) -> dict[str, Any]:
    return {
        **HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": index, "delta": said, "finish_reason": finish}],
    }


ANSWERS = {
    "text": chat({"content": "Hello"}),
    "several": chat({"content": "one"}, {"content": "two"}),
    "tool calls": chat({"content": None, "tool_calls": [CALL, {**CALL, "id": "call-2"}]}, finish="tool_calls"),
    "refusal": chat({"content": None, "refusal": "No."}),
    "reasoning": chat({"content": "4", "reasoning_content": "2 + 2", "annotations": [{"type": "url_citation"}]}),
    "logprobs": chat({"content": "Hi"}, logprobs={"content": [{"token": "Hi", "logprob": -0.1}], "refusal": None}),
    "empty": chat({"content": ""}),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_whole_answer_comes_back_from_its_stream(answer: dict[str, Any]) -> None:
    stream = as_stream(answer, usage_wanted=True)
    again = as_whole(stream, path=CHAT.path)
    for choice, before in zip(again["choices"], answer["choices"], strict=True):
        said = {name: value for name, value in choice["message"].items() if value not in (None, "")}
        assert said == {name: value for name, value in before["message"].items() if value not in (None, "")}
        assert (choice["finish_reason"], choice["logprobs"]) == (before["finish_reason"], before["logprobs"])
    assert {**again, "choices": []} == {**answer, "choices": []}


def test_a_stream_is_as_openai_sends_it() -> None:
    *chunks, usage = chunks_of(as_stream(ANSWERS["text"], usage_wanted=True))
    assert chunks[0]["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert all(chunk["object"] == "chat.completion.chunk" and chunk["usage"] is None for chunk in chunks)
    assert (usage["choices"], usage["usage"]) == ([], USAGE)
    assert not any("usage" in chunk for chunk in chunks_of(as_stream(ANSWERS["text"], usage_wanted=False)))


def test_a_legacy_completion_comes_back_from_its_stream() -> None:
    logprobs = {"tokens": ["Hi"], "token_logprobs": [-0.1]}
    choices = [{"index": 0, "text": "Hi", "logprobs": logprobs, "finish_reason": "stop"}]
    answer = {**HEAD, "object": "text_completion", "choices": choices, "usage": USAGE}
    assert as_whole(as_stream(answer, usage_wanted=True), path=COMPLETIONS.path) == answer


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.text(max_size=5)), min_size=1, max_size=20),
    st.sampled_from(["\n", "\r\n"]),
)
def test_pieces_are_put_together_by_their_choice(pieces: list[tuple[int, str]], ending: str) -> None:
    stream = events(*(delta(index=index, content=text) for index, text in pieces)).replace(b"\n\n", ending.encode() * 2)
    answer = as_whole(stream, path=CHAT.path)
    said = {choice["index"]: choice["message"]["content"] or "" for choice in answer["choices"]}
    assert said == {index: "".join(text for at, text in pieces if at == index) for index in {at for at, _ in pieces}}


def test_the_arguments_of_calls_are_put_together_by_their_call() -> None:
    stream = events(
        delta(role="assistant", tool_calls=[{"index": 0, **CALL, "function": {"name": "pay", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
        delta(
            tool_calls=[{"index": 1, "id": "call-2", "type": "function", "function": {"name": "b", "arguments": "{}"}}]
        ),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta(finish="tool_calls"),
    )
    [choice] = as_whole(stream, path=CHAT.path)["choices"]
    assert choice["message"]["tool_calls"] == [
        CALL, {"id": "call-2", "type": "function", "function": {"name": "b", "arguments": "{}"}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": "none"},
        {"choices": [7]},
        {"choices": [{"index": "0", "delta": {}}]},
        delta(tool_calls=[{"function": {"arguments": "{}"}}]),
        delta(tool_calls=[{"index": 5, "id": "a"}]),
        delta(tool_calls={"index": 0}),
        {"choices": [{"index": 0, "delta": ["a"]}]},
        {"choices": []},
    ],
)
def test_what_is_not_understood_is_not_guessed_at(chunk: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        as_whole(events(chunk), path=CHAT.path)


@pytest.mark.parametrize(
    "deltas",
    [
        [{"content": []}, {"content": "x"}],
        [{"z": "a"}, {"z": {"a": 1}}],
        [{"z": 1}, {"z": [1]}],
        [{"tool_calls": "a"}, {"tool_calls": [{"index": 0}]}],
    ],
)
def test_whatever_a_stream_holds_the_failure_is_one_that_is_reckoned_with(deltas: list[Any]) -> None:
    chunks = [b'{"choices":[{"delta":%b}]}' % json.dumps(each).encode() for each in deltas]
    with pytest.raises(ODD):
        as_whole(b"".join([b"data: " + chunk + b"\n\n" for chunk in chunks]), path=CHAT.path)


@pytest.mark.parametrize("message", ["a text", 5, {"tool_calls": [1]}])
def test_whatever_a_whole_answer_holds_the_failure_is_one_that_is_reckoned_with(message: Any) -> None:
    odd = chat({}) | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    with pytest.raises(ODD):
        as_stream(odd, usage_wanted=False)


@pytest.mark.parametrize("piece", [{"tool_calls": [{"index": "@"}]}, {"annotations": [1]}])
def test_many_pieces_take_no_longer_each_than_few(piece: dict[str, Any]) -> None:
    """Copying what is there for each further one would take seconds, in which nobody is served."""
    text = orjson.dumps(delta(**piece)).decode()
    stream = "".join([f"data: {text}\n\n".replace('"@"', str(index)) for index in range(20_000)])
    began = time.process_time()
    whole = as_whole(stream.encode(), path=CHAT.path)
    assert time.process_time() - began < 1.5
    assert len(whole["choices"][0]["message"].popitem()[1]) == 20_000


def test_usage_that_was_not_asked_for_is_hidden() -> None:
    stream = events(
        delta(content="Hi") | {"usage": None}, delta("stop") | {"usage": None}, {**HEAD, "choices": [], "usage": USAGE}
    )
    assert as_asked(stream, usage_wanted=True) == stream
    assert chunks_of(as_asked(stream, usage_wanted=False)) == [delta(content="Hi"), delta("stop")]
    with_it = events(delta("stop", content="Hi") | {"usage": USAGE})  # not an event of its own: it stays
    assert as_asked(with_it, usage_wanted=False) == with_it
