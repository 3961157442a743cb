"""Every provider's way of saying how many tokens it used."""

from decimal import Decimal
from typing import Any

import pytest

from analytics.usage import MAX_TOKENS, Usage, usage_from


def of(kind: str, usage: dict[str, Any], **beside: Any) -> Usage | None:
    return usage_from({"usage": usage, **beside}, kind)


def test_openai_counts_reasoning_within_the_completion() -> None:
    usage = of(
        "openai",
        {
            "prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
            "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 100, "accepted_prediction_tokens": 5},
        },
        service_tier="flex",
    )  # fmt: skip
    assert usage == Usage(1200, 1000, 0, 300, 100, service_tier="flex")


def test_parts_are_read_without_a_total() -> None:
    counts = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 10}}
    assert of("openai", counts) == Usage(12, 10, 0, 3)


def test_xai_counts_reasoning_beside_the_completion() -> None:
    counts = {"prompt_tokens": 125, "completion_tokens": 48, "completion_tokens_details": {"reasoning_tokens": 52}}
    assert of("xai", {**counts, "total_tokens": 225}) == Usage(125, 0, 0, 100, 52)
    # The same numbers where reasoning is a part of the completion can only be a smaller total.
    inside = {"prompt_tokens": 125, "completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 52}}
    assert of("xai", {**inside, "total_tokens": 225}) == Usage(125, 0, 0, 100, 52)


def test_xai_says_what_it_charged() -> None:
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost_in_usd_ticks": 37_756_000}
    usage = of("xai", counts)
    assert usage is not None
    assert usage.reported_cost == Decimal("0.0037756")


def test_openrouter_says_what_it_charged_and_what_it_cached() -> None:
    counts = {
        "prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00014, "is_byok": False,
        "cost_details": {"upstream_inference_cost": 0.00014},
        "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 100},
    }  # fmt: skip
    assert of("openrouter", counts) == Usage(194, 50, 100, 2, reported_cost=Decimal("0.00014"))


def test_openrouter_with_the_users_own_key_adds_what_that_keys_provider_charges() -> None:
    counts = {
        "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.00001, "is_byok": True,
        "cost_details": {"upstream_inference_cost": 0.0002},
    }  # fmt: skip
    usage = of("openrouter", counts)
    assert usage is not None
    assert usage.reported_cost == Decimal("0.00021")


def test_only_a_kind_that_bills_is_believed_about_its_bill() -> None:
    usage = of("openai_compatible", {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 5})
    assert usage is not None
    assert usage.reported_cost is None


def test_deepseek_names_its_cache_hits_itself() -> None:
    counts = {
        "prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
    }  # fmt: skip
    assert of("deepseek", counts) == Usage(100, 64, 0, 7)
    # It sends OpenAI's field, too; the same hits are counted once.
    assert of("deepseek", {**counts, "prompt_tokens_details": {"cached_tokens": 64}}) == Usage(100, 64, 0, 7)


@pytest.mark.parametrize("field", ["cached_tokens", "num_cached_tokens"])
def test_cached_tokens_beside_the_prompts(field: str) -> None:
    assert of("mistral", {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, field: 8}) == Usage(
        9, 8, 0, 1
    )


def test_anthropic_through_litellm_tells_cache_writes_by_their_lifetime() -> None:
    counts = {
        "prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010,
        "prompt_tokens_details": {
            "cached_tokens": 300, "cache_creation_tokens": 600,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 100},
        },
        "cache_creation_input_tokens": 600, "cache_read_input_tokens": 300,
    }  # fmt: skip
    assert of("anthropic", counts) == Usage(1000, 300, 600, 10, cache_write_1h=100)


def test_groq_repeats_usage_for_those_who_did_not_ask() -> None:
    chunk = {"choices": [], "x_groq": {"id": "req", "usage": {"prompt_tokens": 5, "completion_tokens": 6}}}
    assert usage_from(chunk, "groq") == Usage(5, 0, 0, 6)


def test_embeddings_have_no_completion() -> None:
    assert of("openai", {"prompt_tokens": 8, "total_tokens": 8}) == Usage(8, 0, 0, 0)


def test_a_bare_usage_object_is_read_as_well() -> None:
    assert usage_from({"prompt_tokens": 8, "completion_tokens": 2}, "openai") == Usage(8, 0, 0, 2)


def test_whole_numbers_may_come_as_floats() -> None:
    assert of("llamacpp", {"prompt_tokens": 8.0, "completion_tokens": 2.0}) == Usage(8, 0, 0, 2)


@pytest.mark.parametrize(
    "usage",
    [
        None, [], "12", {}, {"completion_tokens": 3}, {"prompt_tokens": None}, {"prompt_tokens": -1},
        {"prompt_tokens": 1.5}, {"prompt_tokens": "12"}, {"prompt_tokens": True}, {"prompt_tokens": MAX_TOKENS + 1},
        {"prompt_tokens": 1, "completion_tokens": float("nan")}, {"prompt_tokens": 1, "completion_tokens": 10**30},
    ],
)  # fmt: skip
def test_usage_that_cannot_be_is_none_at_all(usage: Any) -> None:
    assert usage_from({"usage": usage}, "openai") is None


@pytest.mark.parametrize(
    "details", [None, [], "x", {"cached_tokens": None}, {"cached_tokens": -5}, {"cached_tokens": "3"}]
)
def test_details_that_cannot_be_are_left_out(details: Any) -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "prompt_tokens_details": details}
    assert of("openai", counts) == Usage(9, 0, 0, 1)


def test_a_part_is_never_larger_than_its_whole() -> None:
    counts = {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 99, "audio_tokens": 99},
        "completion_tokens_details": {"reasoning_tokens": 99, "audio_tokens": 99},
    }  # fmt: skip
    assert of("openai", counts) == Usage(10, 10, 0, 5, 5)
