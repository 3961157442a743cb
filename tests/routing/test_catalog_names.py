"""One model has many spellings; each finds the same score, and no other model's."""

import tomllib

import pytest

from routing import priors
from routing.model_names import exact, spellings, undated

LLAMA_8B = [
    ("vllm", "meta-llama/Llama-3.1-8B-Instruct"),
    ("together", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"),
    ("groq", "llama-3.1-8b-instant"),
    ("openai_compatible", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
    ("ollama", "llama3.1:8b"),
    ("ollama", "llama3.1"),
    ("ollama", "llama3.1:latest"),
    ("ollama", "llama3.1:8b-instruct-q4_K_M"),
    ("ollama", "hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M"),
    ("llamacpp", "/models/Meta-Llama-3.1-8B-Instruct-Q5_K_S.gguf"),
    ("lmstudio", "meta-llama-3.1-8b-instruct-mlx-4bit"),
    ("vllm", "neuralmagic/Meta-Llama-3.1-8B-Instruct-quantized.w4a16"),
]


def score(kind: str, model: str) -> str | None:
    """What the board calls the model, and its score."""
    prior = priors.prior_for(kind, model)
    return None if prior is None else prior.source.partition(": ")[2]


@pytest.mark.parametrize(("kind", "model"), LLAMA_8B)
def test_every_spelling_of_a_model_finds_its_score(kind: str, model: str) -> None:
    assert score(kind, model) == "llama-3.1-8b-instruct, 1187"


@pytest.mark.parametrize(
    ("kind", "model", "found"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18, 1287"),
        ("openrouter", "openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18, 1287"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", "gpt-4o-mini-2024-07-18, 1287"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13, 1301"),
        ("openai", "gpt-4o", "gpt-4o-2024-08-06, 1283"),
        ("openai", "gpt-5", "gpt-5-high, 1405"),
        ("openai", "gpt-4", "gpt-4-0613, 1186"),
        ("anthropic", "claude-opus-4-6", "claude-opus-4.6, 1502.9"),
        ("openrouter", "anthropic/claude-opus-4.6", "claude-opus-4.6, 1502.9"),
        ("anthropic", "claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022, 1298"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash, 1418"),
        ("gemini", "gemini-3-flash-preview", "gemini-3-flash, 1465.7"),
        ("xai", "grok-4", "grok-4-0709, 1409"),
        ("mistral", "mistral-large-latest", "mistral-large-3, 1431"),
        ("mistral", "mistral-large-2411", "mistral-large-2411, 1266"),
        ("deepseek", "deepseek-chat", "deepseek-v3.2, 1424.5"),
        ("openrouter", "deepseek/deepseek-chat-v3-0324:free", "deepseek-v3-0324, 1374"),
        ("groq", "openai/gpt-oss-120b", "gpt-oss-120b, 1366"),
        ("vllm", "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3-30b-a3b-instruct-2507, 1384"),
        ("ollama", "gemma3:27b-it-qat", "gemma-3-27b-it, 1358"),
        ("ollama", "llama3.2:1b", "llama-3.2-1b-instruct, 1055"),
    ],
)
def test_what_a_name_stands_for(kind: str, model: str, found: str) -> None:
    assert score(kind, model) == found


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        # Smaller ones of a family, and models that learnt from another's answers.
        ("ollama", "deepseek-r1:8b"),
        ("ollama", "deepseek-r1"),
        ("together", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"),
        ("ollama", "qwen3-vl:8b"),
        ("openai", "gpt-5.4-mini"),
        # Trained further by somebody else.
        ("ollama", "dolphin-mistral-nemo"),
        ("vllm", "NousResearch/Hermes-3-Llama-3.1-8B"),
        ("ollama", "llama3.1-uncensored:8b"),
        # Something else by a similar name, and nothing at all.
        ("openai", "gpt-4o-audio-preview"),
        ("openai", "text-embedding-3-small"),
        ("vllm", "my-model"),
        ("vllm", ""),
        ("vllm", "///"),
    ],
)
def test_what_no_board_knows_gets_nobody_elses_score(kind: str, model: str) -> None:
    assert score(kind, model) is None


def test_the_sizes_of_a_family_differ() -> None:
    qualities = [priors.prior_for("ollama", f"llama3.1:{size}") for size in ("8b", "70b", "405b")]
    found = [prior.quality for prior in qualities if prior]
    assert len(found) == 3
    assert found == sorted(found)
    assert len(set(found)) == 3


def test_each_score_has_its_board_and_a_date_that_is_past() -> None:
    document = tomllib.loads(priors.FILE.read_text())
    for board in document["boards"]:
        assert board["url"].startswith("https://")
        assert "2025-01-01" < board["date"].isoformat() < "2027-01-01"
    assert all(0 <= prior.quality <= 1 for prior in priors.load().by_name.values())
    assert priors.prior_for("openai", "gpt-4o-mini-2024-07-18") == priors.Prior(
        0.5218, "LMArena text 2026-02-18: gpt-4o-mini-2024-07-18, 1287"
    )


def test_an_alias_hides_no_model_of_a_board() -> None:
    document = tomllib.loads(priors.FILE.read_text())
    scored = {exact(name) for board in document["boards"] for name in board["scores"]}
    assert not {exact(name) for name in document["aliases"] if not name.endswith("-latest")} & scored


def test_the_boards_agree_where_both_have_a_model() -> None:
    """They count as one scale, which holds only while they do."""
    newer, *_, older = (board["scores"] for board in tomllib.loads(priors.FILE.read_text())["boards"])
    by_name = {undated(name): points for name, points in older.items()}
    apart = [abs(points - by_name[undated(name)]) for name, points in newer.items() if undated(name) in by_name]
    assert len(apart) >= 10
    assert sorted(apart)[len(apart) // 2] < 5


def test_a_hostile_name_costs_no_more_than_its_length() -> None:
    for name in ("-q4" * 100, "a1" * 150, ":" * 300, "20240101-" * 33, "é" * 300):
        assert len(spellings(name)) <= 4
