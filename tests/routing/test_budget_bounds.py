"""What a request costs at most at a target: never less than what the ledger may come to."""

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from analytics import pricing, tokens
from analytics.usage import Usage
from keys.limits import pico
from routing.budgets.bounds import FRAME, IMAGE, LARGEST, Size, bound, longest_answer, size_of
from routing.providers.base import Target
from routing.targets import make_target
from tests.routing.stage import provider, settings

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


def cloud(model: str, kind: str = "openai", **facts: Any) -> Target:
    return make_target(provider("cloud", kind, (model,), local=False), model, settings(**facts) if facts else None)


def bound_of(target: Target, **body: Any) -> int:
    found = bound(target, size_of(HELLO | body))
    assert found is not None
    return found


def usd(found: int) -> Decimal:
    return Decimal(found).scaleb(-12)


# --- Output --------------------------------------------------------------------------------------


def output_of(**body: Any) -> Decimal:
    """Of a model at a dollar for each output token, and nothing for its input."""
    target = cloud("m", "vllm", into=0, out=100_000, context_window=5000)
    return usd(bound_of(target, **body)) * 10


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 9),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 7, "n": 2, "best_of": 4}, 28),
        ({"max_tokens": 7, "n": "3"}, 21),
        ({"max_tokens": 7, "n": " +3"}, 21),
        ({"max_tokens": 7, "n": "0000000000_3"}, 21),
        ({"max_tokens": 7, "best_of": "2.0"}, 14),
        ({"max_tokens": 7, "n": "many"}, 7),
        ({"max_tokens": 7, "n": 2e9}, 14 * 10**9),
        ({"max_tokens": 7, "n": 2.5}, 21),
        ({"max_tokens": 7, "n": True}, 7),
        ({"max_tokens": 7, "prompt": ["a", "b", "c"]}, 21),
        ({"max_tokens": 7, "prompt": [[1, 2], [3]], "n": 2}, 28),
        ({"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
        ({"max_tokens": 7, "prompt": []}, 7),
        ({"max_tokens": 7, "n": -1}, 7),
        ({"max_tokens": "7"}, 7),
        ({"max_tokens": 0}, 5000),
        ({"max_tokens": None}, 5000),
        ({"max_tokens": -3}, 5000),
        ({}, 5000),
        ({"max_tokens": 7, "prediction": {"type": "content", "content": "x"}}, 7 + 32),
    ],
)
def test_an_answer_is_as_long_as_was_asked_for_or_as_the_model_can(body: dict[str, Any], expected: int) -> None:
    assert output_of(**body) == expected


def test_a_models_own_maximum_comes_before_its_window() -> None:
    target = cloud("gpt-4o")
    most = target.facts.max_output
    assert most is not None
    # But for the bytes that say so.
    assert 0 < bound_of(target, max_tokens=most) - bound_of(target) < 10**9
    assert bound_of(target, max_tokens=most - 1000) < bound_of(target) - 10**9


def test_of_a_model_of_which_nothing_is_known_the_longest_answer_of_any_is_reserved() -> None:
    assert usd(bound_of(cloud("never-heard-of", "openai", into=0, out=1))) * 10**6 == LARGEST


@pytest.mark.parametrize("n", [10**30, "9" * 500, float("inf"), float("nan"), [], {"a": 1}])
def test_absurd_numbers_are_no_trouble(n: Any) -> None:
    found = bound_of(cloud("gpt-4o"), max_tokens=n, n=n)
    assert 0 < found <= 10**26


# --- Input ---------------------------------------------------------------------------------------


@given(st.text(max_size=300))
@hypothesis(deadline=None)
def test_there_are_no_more_tokens_than_are_reckoned_with(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    body = {"messages": [{"role": "user", "content": text, "name": text}], "tools": [{"function": {"name": text}}]}
    size = size_of(body)
    assert size.tokens + FRAME >= tokens.estimate_request(body)
    size.narrow()
    assert size.tokens + FRAME >= tokens.estimate_request(body)


def test_counting_the_text_narrows_the_bound_and_stays_above_the_count() -> None:
    body = {"messages": [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 50}]}
    size = size_of(body)
    before = size.tokens
    assert size.narrow()
    assert tokens.estimate_request(body) * 1.5 < size.tokens < before / 2
    assert not size.narrow()


async def test_a_long_text_is_counted_in_a_thread_and_a_huge_one_not_at_all() -> None:
    long = size_of({"messages": [{"role": "user", "content": "word " * 20_000}]})
    assert await long.narrowed()
    huge = size_of({"messages": [{"role": "user", "content": "x" * 2_000_000}]})
    assert not await huge.narrowed()


@pytest.mark.parametrize("letters", ["\n", " ", "a", "-"])
def test_what_counting_takes_grows_with_the_length_alone(letters: str) -> None:
    """A run of a million of the same is one word to the encoding, which merges its letters pair by pair."""

    def seconds(length: int) -> float:
        text = letters * length
        started = time.thread_time()
        tokens.count_all(text)
        return time.thread_time() - started

    seconds(1000)
    short, long = min(seconds(32_000) for _ in range(3)), min(seconds(1_024_000) for _ in range(3))
    assert long < 1.8 * 32 * short
    assert tokens.count_all(letters * 1_024_000) < 1_024_000 / 7


def image(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def test_an_image_costs_by_its_pixels_however_few_or_many_its_bytes() -> None:
    small, large = size_of(image("data:image/png;base64,AAAA")), size_of(image("data:image/png;base64," + "A" * 10**6))
    assert small.images == large.images == 1
    assert small.tokens == large.tokens < 200
    target = cloud("gpt-4o", into=1, out=0)
    assert bound(target, small) == (FRAME + small.tokens + IMAGE) * 10**6


@pytest.mark.parametrize(
    "body",
    [
        image("data:application/pdf;base64,AAAA"),
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x"}}]}]},
        HELLO | {"web_search_options": {}, "plugins": [{"id": "web"}]},
        HELLO | {"tools": [{"type": "web_search"}]},
    ],
)
def test_what_cannot_be_told_is_taken_to_fill_the_window(body: dict[str, Any]) -> None:
    target = cloud("m", "mistral", into=1, out=0, context_window=32_000)
    found = bound(target, size_of(body))
    assert found is not None
    assert found >= 32_000 * 10**6


def test_a_deep_request_is_measured() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    assert size_of(HELLO | {"metadata_of_mine": deep}).tokens > 1000
    assert size_of(HELLO | {"prediction": deep}).predicted > 1000


# --- Rates ---------------------------------------------------------------------------------------


def test_the_dearest_rate_that_may_apply_is_reckoned_with() -> None:
    target = cloud("claude-sonnet-4-5", "anthropic")
    price = target.facts.price
    plain, hour = size_of(HELLO), size_of(HELLO | {"cache_control": {"ttl": "1h"}})
    assert (bound(target, hour) or 0) > (bound(target, plain) or 0)
    assert (bound(target, plain) or 0) >= pico(price.cache_write) * plain.tokens


def test_a_service_tier_that_is_not_excluded_may_apply() -> None:
    target = cloud("gpt-5")
    assert "priority" in target.facts.price.service_tiers
    assert bound_of(target) > 1.5 * bound_of(target, service_tier="default")
    assert bound_of(target, service_tier="auto") > 1.5 * bound_of(target, service_tier="default")


def test_a_long_prompt_has_the_rates_of_its_length() -> None:
    target = cloud("gemini-2.5-pro", "gemini")
    short, long = Size(150_000, output=1), Size(250_000, output=1)
    assert (bound(target, long) or 0) / (bound(target, short) or 1) > 250 / 150 * 1.5


def test_what_nobody_knows_the_price_of_has_no_bound() -> None:
    assert bound(cloud("never-heard-of", "openai"), size_of(HELLO)) is None
    assert bound(cloud("openai/gpt-4o", "openrouter"), size_of(HELLO | {"models": ["a/b"]})) is None
    assert bound(cloud("openai/gpt-4o", "openrouter"), size_of(HELLO)) is not None


def test_a_free_model_is_free_only_where_nothing_else_may_be_billed() -> None:
    target = cloud("maker/model:free", "openrouter", into=0, out=0)
    assert bound_of(target) == 0
    others: list[dict[str, Any]] = [{"models": ["a/b"]}, {"plugins": [{"id": "web"}]}, {"web_search_options": {}}]
    for more in others:
        assert bound(target, size_of(HELLO | more)) is None


def test_a_local_model_costs_nothing_unless_the_workspace_says_so() -> None:
    assert bound(make_target(provider("home", models=("m",)), "m"), size_of(HELLO)) == 0
    assert bound(make_target(provider("home", models=("m",)), "m", settings(into=1, out=1)), size_of(HELLO))


MODELS = [
    ("openai", "gpt-5"), ("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("gemini", "gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"), ("xai", "grok-4.3"), ("mistral", "mistral-large-latest"),
    ("groq", "openai/gpt-oss-120b"),
]  # fmt: skip


@given(
    st.sampled_from(MODELS), st.integers(1, 300_000), st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1),
    st.sampled_from(["", "priority", "flex", "default"]),
)  # fmt: skip
@hypothesis(deadline=None)
def test_no_usage_within_the_size_costs_more(
    model: tuple[str, str], prompt: int, limit: int, cached: float, written: float, tier: str
) -> None:
    target = cloud(model[1], model[0])
    usage = Usage(prompt=prompt, completion=limit, service_tier=tier)
    usage.cached = int(prompt * cached)
    usage.cache_write = int((prompt - usage.cached) * written)
    usage.reasoning = int(limit * cached)
    size = Size(max(1, prompt - FRAME), output=limit)
    found = bound(target, size)
    assert found is not None
    assert pico(pricing.cost(target.facts.price, usage)) <= found


def test_the_longest_answer_is_told() -> None:
    assert longest_answer({"max_tokens": 5, "n": 2}) == 10
    assert longest_answer({}) is None


def test_it_is_reckoned_in_microseconds() -> None:
    target, body = cloud("gpt-4o"), HELLO | {"max_tokens": 100}
    bound(target, size_of(body))
    started = time.perf_counter()
    for _ in range(2000):
        bound(target, size_of(body))
    assert (time.perf_counter() - started) / 2000 < 50e-6
