"""Counting tokens where no upstream did."""

import time
from pathlib import Path

import orjson
import pytest

from analytics import tokens

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "conformance"


def test_plain_text_is_counted_exactly() -> None:
    assert tokens.count("hello world") == 2
    assert tokens.count("") == 0


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gpt-5.1", "ft:gpt-4o-2024-08-06:acme::1", "openai/gpt-4.1", "gpt-oss-120b"]
)
def test_openais_newer_models_are_counted_in_their_own_encoding(model: str) -> None:
    arabic = "السماء زرقاء لأن الهواء يبعثر الضوء الأزرق أكثر من غيره."
    assert tokens.count(arabic, model) == 18
    assert tokens.count(arabic, "gpt-4-turbo") == tokens.count(arabic, "somebodys-model") == 41


def test_special_tokens_in_a_text_are_text() -> None:
    assert tokens.count("<|endoftext|>") > 1


def test_lone_surrogates_do_not_stop_the_count() -> None:
    assert tokens.count("a\ud800b") > 0


@pytest.mark.parametrize("text", ["a" * 2_000_000, "\u5b57" * 2_000_000, " " * 2_000_000, "=-" * 1_000_000])
def test_a_long_text_takes_bounded_time(text: str) -> None:
    tokens.count("load the encoding first")
    started = time.perf_counter()
    assert tokens.count(text) > 1000
    assert time.perf_counter() - started < 0.5


def test_many_messages_take_bounded_time() -> None:
    tokens.count("load the encoding first")
    messages = [{"role": "user", "content": "word " * 400}] * 5000
    started = time.perf_counter()
    assert tokens.estimate_messages(messages) == pytest.approx(5000 * 405, rel=0.02)
    assert time.perf_counter() - started < 0.5


def test_a_long_text_is_extrapolated_closely() -> None:
    sentence = " The quick brown fox jumps over the lazy dog, 1234 times."
    assert tokens.count(sentence * 4000) == pytest.approx(4000 * tokens.count(sentence), rel=0.02)


def test_a_chat_is_its_messages_and_their_frame() -> None:
    # "hello world" 2, "user" 1, 3 around the message, 3 for the reply's beginning.
    assert tokens.estimate_messages([{"role": "user", "content": "hello world"}]) == 9
    assert tokens.estimate_messages([{"role": "user", "content": [{"type": "text", "text": "hello world"}]}]) == 9


def test_images_count_by_their_detail() -> None:
    def image(**url: str) -> list[object]:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", **url}}]}]

    nothing = tokens.estimate_messages([{"role": "user", "content": ""}])
    assert tokens.estimate_messages(image(detail="low")) == nothing + 85
    assert tokens.estimate_messages(image()) == nothing + 765
    data = "data:image/png;base64," + "A" * 100_000
    assert tokens.estimate_messages(image(url=data)) == nothing + 765  # its bytes are not text


def test_tools_count_with_their_schemas() -> None:
    body = {"messages": [{"role": "user", "content": "hello world"}]}
    function = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    tools = [{"type": "function", "function": function}]
    with_tools = tokens.estimate_request({**body, "tools": tools})
    assert with_tools == tokens.estimate_request(body) + tokens.count(orjson.dumps(function).decode())


def test_tool_calls_and_their_results_count() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]}
    assert tokens.estimate_messages([call]) > tokens.estimate_messages([{"role": "assistant", "content": None}]) + 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": "hello world"}, 2),
        ({"prompt": ["hello world", "hello world"]}, 4),
        ({"prompt": [1, 2, 3]}, 3),
        ({"prompt": [[1, 2], [3]]}, 3),
        ({"input": "hello world"}, 2),
        ({"prompt": None}, 0),
        ({}, 0),
        ({"messages": [None, "x", 5]}, 3),
    ],
)
def test_prompts_of_every_shape_are_counted(body: dict[str, object], expected: int) -> None:
    assert tokens.estimate_request(body) == expected


def event(**delta: object) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


def test_a_streams_text_is_put_together() -> None:
    blocks = (
        event(role="assistant", content="")
        + event(reasoning_content="Hm. ")
        + event(content="Hel")
        + event(content="lo")
        + event(refusal="No.")
        + event(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}])
        + b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n'
    )
    assert tokens.completion_text(blocks) == "Hm. HelloNo.f{}"


def test_a_stream_that_was_cut_counts_as_far_as_it_came() -> None:
    assert tokens.completion_text(event(content="Hello") + event(content=" you")[:-9]) == "Hello"


def test_a_completions_stream_and_a_whole_answer_are_read_as_well() -> None:
    assert tokens.completion_text(b': ping\r\n\r\ndata: {"choices":[{"text":"Hi"}]}\r\n\r\n') == "Hi"
    assert tokens.completion_text(b' {"choices":[{"message":{"role":"assistant","content":"Hi"}}]}') == "Hi"
    assert (
        tokens.answer_text({"choices": [{"message": {"content": "Hi"}}, {"message": {"content": " you"}}]}) == "Hi you"
    )


@pytest.mark.parametrize("junk", [b"", b"<html>", b"data: {", b"{", b"data: [1]\n\n", b'data: {"choices":[5]}\n\n'])
def test_junk_holds_no_text(junk: bytes) -> None:
    assert tokens.completion_text(junk) == ""


def test_recorded_streams_are_estimated_as_openai_counted() -> None:
    """To the token that ends an answer, which no text holds, and to a tool call's frame of seven."""
    compared = 0
    for recording in sorted(SHARED.glob("*.sse")):
        blocks = recording.read_bytes()
        events = [orjson.loads(line[6:]) for line in blocks.splitlines() if line.startswith(b"data: {")]
        said = next((chunk["usage"]["completion_tokens"] for chunk in events if chunk.get("usage")), None)
        if said is None:
            continue
        compared += 1
        unseen = said - tokens.count(tokens.completion_text(blocks), events[0]["model"])
        assert 0 <= unseen <= (7 if b'"tool_calls":' in blocks else 1), recording.name
    if SHARED.exists():
        assert compared
