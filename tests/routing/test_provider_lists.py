"""What providers' own lists say of models, in the words of each, and what of it is believed."""

from decimal import Decimal
from typing import Any

import pytest

from keys.kinds import KINDS
from keys.probe import ListedModel
from routing import provider_lists
from routing.provider_lists import by_name, listed

OPENROUTER = {
    "id": "maker/model",
    "context_length": 200000,
    "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text"]},
    "pricing": {"prompt": "0.0000025", "completion": "0.00001", "input_cache_read": "0.00000125", "image": "0.0036"},
    "top_provider": {"context_length": 200000, "max_completion_tokens": 64000},
    "supported_parameters": ["tools", "tool_choice", "response_format", "reasoning", "temperature"],
}


@pytest.mark.parametrize(
    ("kind", "entry", "said"),
    [
        (
            "openrouter",
            OPENROUTER,
            ListedModel(
                context_window=200000,
                max_output=64000,
                capabilities=frozenset({"vision", "tools", "json", "reasoning"}),
                input_rate=Decimal("0.0000025"),
                cached_input_rate=Decimal("0.00000125"),
                output_rate=Decimal("0.00001"),
            ),
        ),
        (
            "together",
            {"id": "m", "context_length": 131072, "pricing": {"input": 0.18, "output": 0.59, "hourly": 0}},
            ListedModel(context_window=131072, input_rate=Decimal("1.8E-7"), output_rate=Decimal("5.9E-7")),
        ),
        (
            "mistral",
            {
                "id": "m",
                "max_context_length": 32768,
                "capabilities": {"completion_chat": True, "function_calling": True, "vision": False},
            },
            ListedModel(context_window=32768, capabilities=frozenset({"tools", "json"})),
        ),
        (
            "groq",
            {"id": "m", "context_window": 8192, "max_completion_tokens": 4096},
            ListedModel(context_window=8192, max_output=4096),
        ),
        (
            "gemini",
            {"name": "models/m", "inputTokenLimit": 1048576, "outputTokenLimit": 65536},
            ListedModel(context_window=1048576, max_output=65536),
        ),
        ("vllm", {"id": "m", "max_model_len": 4096}, ListedModel(context_window=4096)),
        ("openai", {"id": "m", "object": "model", "owned_by": "system"}, None),
        # A price for a model without one, and one that nobody can know beforehand.
        ("together", {"id": "m", "pricing": {"input": 0, "output": 0, "hourly": 5}}, None),
        ("openrouter", {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}, None),
    ],
)
def test_each_providers_words(kind: str, entry: dict[str, Any], said: ListedModel | None) -> None:
    assert listed(KINDS[kind], entry) == said


@pytest.mark.parametrize(
    "price", ["", "free", "NaN", "Infinity", "-0.1", "1", 1e300, True, None, [], {}, "1e-40", "0." + "1" * 39]
)
def test_what_is_no_price_is_none(price: Any) -> None:
    entry = {"id": "m", "pricing": {"prompt": price, "completion": price}}
    assert listed(KINDS["openrouter"], entry) is None


@pytest.mark.parametrize("tokens", ["8192", 0, -5, 1.5, True, None, 2**31, 10**30, [], {}])
def test_what_is_no_number_of_tokens_is_none(tokens: Any) -> None:
    assert listed(KINDS["vllm"], {"id": "m", "max_model_len": tokens}) is None


def test_a_list_is_bounded() -> None:
    entries = [{"id": f"model-{number}"} for number in range(5000)]
    assert len(by_name(entries)) == provider_lists.MAX_MODELS
    names = [{"id": "a"}, {"id": "a", "max_model_len": 5}, {"id": ""}, {"id": 5}, {"id": "x" * 301}, {"id": "b\n"}, 7]
    assert by_name(names) == {"a": {"id": "a"}}


def test_what_was_said_survives_the_database() -> None:
    said = listed(KINDS["openrouter"], OPENROUTER)
    assert said is not None
    assert ListedModel.from_json(said.as_json()) == said
    assert said.as_json()["input_rate"] == "0.0000025"
    assert ListedModel.from_json({"of a later version": 5}) == ListedModel()
