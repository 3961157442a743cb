"""What is known of a model: its price, its windows, what it can do, and what of that the workspace set itself."""

from decimal import Decimal

import pytest

from analytics import pricing
from keys.kinds import KINDS
from keys.probe import ListedModel
from routing import catalog
from routing.catalog import ASSUMED, NEUTRAL_QUALITY, ModelFacts, ModelSettingsFacts, described, facts_for
from routing.providers.base import Target

OPENAI, OLLAMA, VLLM, OPENROUTER = (KINDS[name] for name in ("openai", "ollama", "vllm", "openrouter"))


def mtok(facts: ModelFacts) -> tuple[Decimal, Decimal]:
    return facts.price.input * 10**6, facts.price.output * 10**6


# --- Prices --------------------------------------------------------------------------------------


def test_a_clouds_price_is_litellms() -> None:
    facts = facts_for(OPENAI, "gpt-4o-mini", local=False)
    assert facts.price.source.startswith("litellm ")
    assert mtok(facts) == (Decimal("0.15"), Decimal("0.6"))
    assert facts.input_rate == pytest.approx(0.15e-6)


def test_what_runs_here_costs_nothing() -> None:
    facts = facts_for(OLLAMA, "llama3.1:8b", local=True)
    assert (facts.price.source, facts.price.free, facts.price.known) == ("local", True, True)


def test_a_cloud_model_that_nobody_prices_is_marked() -> None:
    facts = facts_for(OPENAI, "gpt-from-the-future", local=False)
    assert not facts.price.known
    assert facts.price.source == "unknown"


def test_the_workspaces_own_price_comes_first() -> None:
    own = ModelSettingsFacts(input_usd_per_mtok=Decimal("2.5"), output_usd_per_mtok=Decimal("0.000001"))
    for kind, model, local in ((OPENAI, "gpt-4o-mini", False), (OLLAMA, "llama3.1:8b", True), (OPENAI, "new", False)):
        facts = facts_for(kind, model, local=local, settings=own)
        assert facts.price.source == "workspace"
        assert mtok(facts) == (Decimal("2.5"), Decimal("0.000001"))
        assert facts.price.cached_input == facts.price.input
        assert not facts.price.free


def test_a_price_set_in_part_is_completed_from_what_is_known() -> None:
    facts = facts_for(OPENAI, "gpt-4o-mini", local=False, settings=ModelSettingsFacts(output_usd_per_mtok=Decimal(1)))
    assert mtok(facts) == (Decimal("0.15"), Decimal(1))
    assert facts.price.cached_input == Decimal("0.000000075")
    alone = ModelSettingsFacts(cached_input_usd_per_mtok=Decimal("0.01"))
    facts = facts_for(OPENAI, "gpt-4o-mini", local=False, settings=alone)
    assert facts.price.cached_input == Decimal("0.00000001")


def test_half_a_price_of_an_unknown_model_is_none() -> None:
    half = ModelSettingsFacts(input_usd_per_mtok=Decimal(1))
    assert not facts_for(OPENAI, "gpt-from-the-future", local=False, settings=half).price.known


def test_a_providers_own_list_prices_what_litellm_does_not_know() -> None:
    listed = ListedModel(input_rate=Decimal("0.0000002"), output_rate=Decimal("0.0000005"))
    facts = facts_for(OPENROUTER, "maker/brand-new", local=False, listed=listed)
    assert (facts.price.source, mtok(facts)) == ("provider", (Decimal("0.2"), Decimal("0.5")))
    known = facts_for(OPENROUTER, "openai/gpt-4o-mini", local=False, listed=listed)
    assert known.price.source.startswith("litellm ")


def test_a_stated_price_bills_exactly() -> None:
    own = ModelSettingsFacts(input_usd_per_mtok=Decimal("0.123456789012"), output_usd_per_mtok=Decimal(0))
    price = facts_for(OPENAI, "x", local=False, settings=own).price
    assert price.input == Decimal("0.000000123456789012")
    assert price.standard[-1][1].record["input"] == "0.000000123456789012"
    with pytest.raises(ValueError, match="no price"):
        pricing.stated(pricing.WORKSPACE, Decimal(1), Decimal(0))


# --- Windows and capabilities --------------------------------------------------------------------


def test_windows_of_a_cloud_model() -> None:
    facts = facts_for(OPENAI, "gpt-4o-mini", local=False)
    assert (facts.context_window, facts.max_output) == (128000, 16384)
    facts = facts_for(OPENAI, "gpt-4o-mini", local=False, settings=ModelSettingsFacts(context_window=5000))
    assert facts.context_window == 5000


def test_what_the_server_says_of_its_window_holds() -> None:
    assert facts_for(VLLM, "Qwen/Qwen3-8B", local=True).context_window is None
    listed = ListedModel(context_window=40960)
    assert facts_for(VLLM, "Qwen/Qwen3-8B", local=True, listed=listed).context_window == 40960


@pytest.mark.parametrize(
    ("kind", "model", "can"),
    [
        ("openai", "gpt-4o-mini", {"vision", "tools", "json"}),
        ("openai", "gpt-5", {"vision", "tools", "json", "reasoning"}),
        ("openai", "gpt-4-0613", {"tools", "json"}),
        ("anthropic", "claude-opus-4-6", {"vision", "tools", "json", "reasoning"}),
        ("gemini", "gemini-2.5-flash", {"vision", "audio", "tools", "json", "reasoning"}),
        ("groq", "openai/gpt-oss-120b", {"tools", "json", "reasoning"}),
        # litellm has no word on these; their families are known.
        ("together", "meta-llama/Llama-4-Scout-17B-16E-Instruct", {"vision", "tools", "json"}),
        ("ollama", "llama3.1:8b", {"tools", "json"}),
        ("ollama", "llama3.2-vision:11b", {"vision", "tools", "json"}),
        ("ollama", "llava:13b", {"vision", "json"}),
        ("ollama", "qwen3-vl:8b", {"vision", "tools", "json"}),
        ("ollama", "qwen3:8b", {"tools", "json", "reasoning"}),
        ("ollama", "deepseek-ocr:3b", {"vision", "json"}),
        ("ollama", "deepseek-r1:8b", {"json", "reasoning"}),
        ("ollama", "gpt-oss:20b", {"tools", "json", "reasoning"}),
        ("ollama", "gemma3:27b", {"vision", "json"}),
        ("ollama", "gemma3:1b", {"json"}),
        ("vllm", "Qwen/Qwen2.5-VL-7B-Instruct", {"vision", "tools", "json"}),
        ("vllm", "microsoft/Phi-3.5-vision-instruct", {"vision", "json"}),
    ],
)
def test_what_a_model_can_do(kind: str, model: str, can: set[str]) -> None:
    assert facts_for(KINDS[kind], model, local=KINDS[kind].self_hosted).capabilities == frozenset(can)


@pytest.mark.parametrize("model", ["my-model", "tiny", "some-vl-model", ""])
def test_what_an_unknown_model_can_do_is_unknown(model: str) -> None:
    assert facts_for(VLLM, model, local=True).capabilities is None


def test_what_the_server_says_that_a_model_can_do_holds() -> None:
    listed = ListedModel(capabilities=frozenset({"json"}))
    assert facts_for(OLLAMA, "llama3.1:8b", local=True, listed=listed).capabilities == frozenset({"json"})


# --- Quality, state ------------------------------------------------------------------------------


def test_a_measured_quality_names_its_source_and_an_unknown_one_is_assumed() -> None:
    known = facts_for(OPENAI, "gpt-4o-mini", local=False)
    assert (known.quality, known.assumed) == (0.5218, False)
    assert known.quality_source == "LMArena text 2026-02-18: gpt-4o-mini-2024-07-18, 1287"
    unknown = facts_for(VLLM, "my-model", local=True)
    assert (unknown.quality, unknown.quality_source, unknown.assumed) == (NEUTRAL_QUALITY, ASSUMED, True)


def test_the_workspaces_own_quality_comes_first() -> None:
    facts = facts_for(OPENAI, "gpt-4o-mini", local=False, settings=ModelSettingsFacts(quality=0.0))
    assert (facts.quality, facts.quality_source, facts.assumed) == (0.0, "workspace", False)


def test_enabled_and_loaded() -> None:
    assert facts_for(OPENAI, "gpt-5", local=False).enabled
    assert not facts_for(OPENAI, "gpt-5", local=False, settings=ModelSettingsFacts(enabled=False)).enabled
    assert [facts_for(OLLAMA, "x", local=True, loaded=loaded).loaded for loaded in (None, True, False)] == [
        None, True, False,
    ]  # fmt: skip


def test_facts_are_made_once() -> None:
    assert facts_for(OPENAI, "gpt-5", local=False) is facts_for(OPENAI, "gpt-5", local=False)


def target(kind: str, model: str, **known: object) -> Target:
    facts = facts_for(KINDS[kind], model, local=KINDS[kind].self_hosted, **known)  # type: ignore[arg-type]
    return Target("id", "box", KINDS[kind], "http://box/v1", model, KINDS[kind].self_hosted, None, facts)


def test_what_the_pages_show() -> None:
    assert described(target("openai", "gpt-4o-mini")) == {
        "input_usd_per_mtok": "0.15",
        "cached_input_usd_per_mtok": "0.075",
        "output_usd_per_mtok": "0.6",
        "price_source": pricing.price_for("openai", "gpt-4o-mini", False).source,
        "quality": 0.5218,
        "quality_source": "LMArena text 2026-02-18: gpt-4o-mini-2024-07-18, 1287",
        "assumed": False,
        "context_window": 128000,
        "max_output": 16384,
        "capabilities": ["json", "tools", "vision"],
        "loaded": None,
    }
    unknown = described(target("openai", "gpt-from-the-future"))
    assert (unknown["input_usd_per_mtok"], unknown["price_source"], unknown["assumed"]) == (None, "unknown", True)
    local = described(target("vllm", "my-model", loaded=True))
    assert (local["output_usd_per_mtok"], local["capabilities"], local["loaded"]) == ("0", None, True)


def test_models_that_take_no_chat_are_told_apart() -> None:
    assert catalog.chats(OPENAI, "gpt-5")
    assert not catalog.chats(OPENAI, "text-embedding-3-small")
    assert not catalog.chats(OLLAMA, "nomic-embed-text")
