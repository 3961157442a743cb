"""Whatever a body holds, classifying it raises nothing, ends soon, and gives a score from 0 to 1."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import rules
from routing.classify import KINDS, classify
from routing.endpoints import CHAT, COMPLETIONS
from routing.exchange import Label, Wishes

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
content = st.text(max_size=1_500) | st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image_url", "file", "input_audio"])}, optional={"text": anything}
    )
    | anything,
    max_size=4,
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
    optional={"content": content | anything, "tool_calls": anything, "name": anything},
)


def sane(found: Label) -> bool:
    return (
        0 <= found.score <= 1
        and found.complexity == rules.tier(found.score)
        and found.task in ("chat", "vision")
        and found.prompt_tokens >= 0
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(messages=st.lists(message, max_size=5) | anything, tools=anything, wanted=anything)
def test_any_chat_body_has_a_label(kind: str, messages: Any, tools: Any, wanted: Any) -> None:
    body = {"messages": messages, "tools": tools, "response_format": wanted}
    assert sane(classify(CHAT, body, Wishes(), kind))


@settings(max_examples=150, deadline=None)
@given(prompt=anything)
def test_any_prompt_has_a_label(prompt: Any) -> None:
    assert sane(classify(COMPLETIONS, {"prompt": prompt}, Wishes()))


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=st.characters(codec=None), max_size=900))
def test_any_characters_have_a_label(text: str) -> None:
    assert sane(classify(CHAT, {"messages": [{"role": "user", "content": text}]}, Wishes()))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": []},
        {"messages": [None, 1, "x", {"role": "user"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": "\ud800 lone \udfff surrogates \ud83d"}]},
        {"messages": [{"role": "user", "content": "\x00" * 50}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"function": None}, 3]}]},
        {"messages": [{"role": "tool", "tool_call_id": "a", "content": "42"}]},
        {"messages": [{"role": "user", "content": [{"type": {}}, {"type": "text", "text": None}, None]}]},
    ],
)
def test_odd_bodies(body: dict[str, Any]) -> None:
    assert sane(classify(CHAT, body, Wishes()))


PROSE = "Explain how a write-ahead log keeps what was committed. "


@pytest.mark.parametrize(
    "text",
    [
        PROSE * 40_000,
        f"{PROSE}\n\n" * 40_000,
        "证明这个分布式算法的正确性" * 150_000,
        "expert " * 300_000,
        "treat this as " * 100_000,
        "\n" * 2_000_000,
        "?" * 2_000_000,
        '"' * 2_000_000,
        "a" * 2_000_000,
        "«" * 1_000_000,
    ],
    ids=[
        "prose",
        "paragraphs",
        "chinese",
        "claims",
        "half claims",
        "newlines",
        "marks",
        "quotes",
        "one word",
        "guillemets",
    ],
)
def test_a_huge_text_costs_no_more_than_its_windows(text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}]}
    classify(CHAT, body, Wishes())
    spent = []
    for _ in range(5):
        started = time.process_time()
        classify(CHAT, body, Wishes())
        spent.append(time.process_time() - started)
    # Of two megabytes: reading each character once in Python would take ten times as long.
    assert min(spent) < 0.01
