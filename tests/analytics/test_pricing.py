"""What a request costs, in exact decimals."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import amounts, pricing
from analytics.pricing import Price, cost, price_for, record
from analytics.usage import MAX_TOKENS, Usage

GPT = price_for("openai", "gpt-5", False)
TIERED = price_for("gemini", "gemini-2.5-pro", False)

counts = st.integers(min_value=0, max_value=MAX_TOKENS // 4)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    cached, fresh, write, reasoning, shown = (draw(counts) for _ in range(5))
    hour = draw(st.integers(0, write))
    return Usage(cached + fresh + write, cached, write, reasoning + shown, reasoning, cache_write_1h=hour)


def plus(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt + other.prompt,
        one.cached + other.cached,
        one.cache_write + other.cache_write,
        one.completion + other.completion,
        one.reasoning + other.reasoning,
        cache_write_1h=one.cache_write_1h + other.cache_write_1h,
    )


def test_cached_and_reasoning_tokens_are_paid_once() -> None:
    # 200 fresh at $1.25, 1,000 cached at $0.125, 300 out (100 of them reasoning) at $10 per million.
    assert cost(GPT, Usage(1200, 1000, 0, 300, 100)) == Decimal("0.003375")


def test_a_cost_is_the_fraction_that_it_should_be() -> None:
    @given(usages())
    def exact(usage: Usage) -> None:
        for price in (GPT, price_for("anthropic", "claude-sonnet-4-5", False)):
            rates = price.rates(usage)
            expected = (
                Fraction(rates.input) * (usage.prompt - usage.cached - usage.cache_write)
                + Fraction(rates.cached_input) * usage.cached
                + Fraction(rates.cache_write) * (usage.cache_write - usage.cache_write_1h)
                + Fraction(rates.cache_write_1h) * usage.cache_write_1h
                + Fraction(rates.output) * (usage.completion - usage.reasoning)
                + Fraction(rates.reasoning) * usage.reasoning
            )
            assert Fraction(cost(price, usage)) == expected

    exact()


@given(usages(), usages())
def test_costs_add_up(one: Usage, other: Usage) -> None:
    assert cost(GPT, plus(one, other)) == cost(GPT, one) + cost(GPT, other)


@given(usages(), usages())
def test_more_tokens_never_cost_less(one: Usage, other: Usage) -> None:
    for price in (GPT, TIERED):
        assert cost(price, plus(one, other)) >= cost(price, one)


def test_the_threads_decimal_context_does_not_matter() -> None:
    usage = Usage(MAX_TOKENS, 1, 0, MAX_TOKENS, 1)
    expected = cost(GPT, usage)
    with localcontext() as context:
        context.prec = 3
        assert cost(GPT, usage) == expected


def test_every_rate_of_the_map_has_at_most_twelve_places() -> None:
    """So no cost is ever rounded. When a new map breaks this, the rounding rule starts to matter; see pricing.py."""
    for name, entry in pricing.load().items():
        price = pricing._price(entry)
        for _, rates in (*price.standard, *(step for ladder in price.service_tiers.values() for step in ladder)):
            places = -int(min(rate.normalize().as_tuple().exponent for rate in (rates.input, rates.output)))
            assert places <= 12, name


@pytest.mark.parametrize(
    ("kind", "model", "input_usd_per_mtok"),
    [
        ("openai", "gpt-5", "1.25"),
        ("openai", "gpt-5.4-2026-03-05", "2.5"),  # dated
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "0.3"),  # fine-tuned
        ("anthropic", "claude-sonnet-4-5-20250929", "3"),
        ("gemini", "models/gemini-2.5-pro", "1.25"),  # as Gemini lists it
        ("azure", "gpt-4o-mini", "0.15"),
        ("groq", "openai/gpt-oss-120b", "0.15"),
        ("mistral", "mistral-large-latest", "0.5"),
        ("deepseek", "deepseek-chat", "0.28"),
        ("together", "deepseek-ai/DeepSeek-V3", "1.25"),  # capitals
        ("xai", "grok-4.5", "2"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "3"),  # the maker's price, in the maker's spelling
    ],
)
def test_a_kinds_models_are_found_under_the_maps_names(kind: str, model: str, input_usd_per_mtok: str) -> None:
    price = price_for(kind, model, False)
    assert price.source.startswith("litellm 1.")
    assert price.input * 1_000_000 == Decimal(input_usd_per_mtok)
    assert price.context_window


def test_a_local_model_is_free_whatever_its_name() -> None:
    price = price_for("vllm", "gpt-5", True)
    assert (price.source, cost(price, Usage(1000, 0, 0, 1000))) == ("local", Decimal(0))


@pytest.mark.parametrize(
    ("kind", "model"), [("openai", "no-such-model"), ("vllm", "gpt-5"), ("openai", "gpt-5-no-such"), ("openai", "")]
)
def test_an_unknown_cloud_model_is_flagged_not_guessed(kind: str, model: str) -> None:
    price = price_for(kind, model, False)
    assert (price.source, price.known, cost(price, Usage(1000, 0, 0, 1000))) == ("unknown", False, Decimal(0))


def test_above_a_prompt_length_its_rates_hold_for_the_whole_request() -> None:
    assert cost(TIERED, Usage(200_000, 0, 0, 1000)) == Decimal("0.26")
    assert cost(TIERED, Usage(200_001, 0, 0, 1000)) == Decimal("0.5150025")


def test_xai_bills_the_higher_tier_from_its_threshold_on() -> None:
    price = price_for("xai", "grok-4.5", False)
    assert cost(price, Usage(199_999, 0, 0, 0)) == Decimal("0.399998")
    assert cost(price, Usage(200_000, 0, 0, 0)) == Decimal("0.8")


@pytest.mark.parametrize(
    ("tier", "usd"), [("", "10"), ("default", "10"), ("flex", "5"), ("priority", "20"), ("fast", "20"), ("odd", "10")]
)
def test_the_service_tier_that_was_used_sets_the_rate(tier: str, usd: str) -> None:
    assert cost(GPT, Usage(0, 0, 0, 1_000_000, service_tier=tier)) == Decimal(usd)


def test_cache_writes_cost_more_when_they_last_an_hour() -> None:
    price = price_for("anthropic", "claude-sonnet-4-5", False)
    assert cost(price, Usage(1_000_000, 0, 1_000_000, 0)) == Decimal("3.75")
    assert cost(price, Usage(1_000_000, 0, 1_000_000, 0, cache_write_1h=400_000)) == Decimal("4.65")


def test_audio_tokens_have_their_own_rate() -> None:
    price = price_for("openai", "gpt-audio", False)
    assert cost(price, Usage(1000, 0, 0, 1000, audio_prompt=400, audio_completion=500)) == Decimal("0.0513")


@pytest.mark.parametrize(
    ("at", "usd"),
    [
        (datetime(2026, 11, 20, 2, 0, tzinfo=UTC), "1.32"),  # a Friday in the working hours
        (datetime(2026, 11, 20, 4, 0, tzinfo=UTC), "0.66"),  # begins
        (datetime(2026, 11, 20, 6, 0, tzinfo=UTC), "1.32"),  # ended
        (datetime(2026, 11, 20, 23, 59, tzinfo=UTC), "0.66"),  # until midnight
        (datetime(2026, 11, 21, 2, 0, tzinfo=UTC), "0.66"),  # a Saturday
    ],
)
def test_deepseek_charges_less_off_peak(at: datetime, usd: str) -> None:
    assert cost(price_for("deepseek", "deepseek-v4-pro", False), Usage(1_000_000, 0, 0, 0), at) == Decimal(usd)


def test_the_providers_own_bill_goes_before_any_price() -> None:
    usage = Usage(1000, 0, 0, 1000, reported_cost=Decimal("0.00012345678949"))
    assert cost(GPT, usage) == Decimal("0.000123456789")
    assert record(GPT, usage)["source"] == "provider"


def test_the_ledger_keeps_the_rates_that_were_used() -> None:
    assert record(TIERED, Usage(300_000, 0, 7, 1)) == {
        "source": TIERED.source,
        "tier": ">200k",
        "input": "0.0000025",
        "cached_input": "0.00000025",
        "output": "0.000015",
        "cache_write_tokens": 7,
    }
    assert "cache_write_tokens" not in record(TIERED, Usage(300_000))


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "0"), ("0.003375000000", "0.003375"), ("1E-12", "0.000000000001"), ("20", "20")]
)
def test_money_is_written_without_exponent_and_trailing_zeros(usd: str, text: str) -> None:
    assert amounts.as_text(Decimal(usd)) == text


def test_what_a_model_does_is_known_with_its_price() -> None:
    assert pricing.mode("openai", "text-embedding-3-small") == "embedding"
    assert pricing.mode("openai", "gpt-5") == "chat"
    assert pricing.mode("openai", "no-such-model") == ""


def test_prices_and_counts_need_neither_litellm_nor_network() -> None:
    code = """
import socket, sys
socket.socket.connect = socket.getaddrinfo = None
from analytics import pricing, tokens
assert pricing.price_for("openai", "gpt-5", False).known
assert tokens.count("hello world") == 2
assert not {"litellm", "torch", "openai"} & sys.modules.keys(), "litellm was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_prices_are_shared_not_rebuilt() -> None:
    assert price_for("openai", "gpt-5", False) is price_for("openai", "gpt-5", False)
    assert isinstance(GPT, Price)


@given(
    st.decimals(min_value=0, max_value="0.999", places=20, allow_nan=False),
    st.decimals(min_value=0, max_value="0.999", places=15, allow_nan=False),
    st.integers(0, MAX_TOKENS),
    st.integers(0, MAX_TOKENS),
)
def test_a_cost_is_rounded_once_and_half_to_even(into: Decimal, out: Decimal, prompt: int, completion: int) -> None:
    exact = Fraction(into) * prompt + Fraction(out) * completion
    expected = round(exact * 10**12)  # Python rounds fractions half to even
    assert pricing.charge(pricing.stated("workspace", into, out), Usage(prompt, completion=completion))[0] == expected


@pytest.mark.parametrize(("rate", "expected"), [("5E-13", 0), ("15E-13", 2), ("25E-13", 2), ("2500001E-18", 3)])
def test_half_a_picodollar_goes_to_the_even_one(rate: str, expected: int) -> None:
    price = pricing.stated("workspace", Decimal(rate), Decimal(0))
    assert pricing.charge(price, Usage(1))[0] == expected


@given(st.integers(0, 10**24))
def test_picodollars_are_written_with_all_their_places(pico: int) -> None:
    written = amounts.pico_text(pico)
    assert Decimal(written).scaleb(12, Context(prec=50)) == pico
    assert written == ("0" if pico == 0 else f"{Decimal(pico).scaleb(-12, Context(prec=50)):f}")
