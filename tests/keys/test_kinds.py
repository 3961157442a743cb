"""The facts of each provider kind, and what may be written as its address."""

import pytest

from keys.kinds import ALL, KINDS, api_base

CLOUD = {"openai", "anthropic", "gemini", "azure", "mistral", "groq", "deepseek", "openrouter", "together", "xai"}
OWN = {"vllm", "ollama", "llamacpp", "tgi", "sglang", "localai", "lmstudio", "openai_compatible", "demo"}


def test_the_contracts_kinds() -> None:
    assert set(KINDS) == CLOUD | OWN
    assert {kind.id for kind in KINDS.values() if kind.self_hosted} == OWN
    assert {kind.id for kind in KINDS.values() if kind.wire == "litellm"} == {"anthropic", "gemini", "azure"}
    assert {kind.id for kind in KINDS.values() if kind.needs_key} == CLOUD


@pytest.mark.parametrize(
    ("kind", "health"),
    [
        ("vllm", "/health"), ("sglang", "/health"), ("tgi", "/health"), ("llamacpp", "/health"), ("localai", "/health"),
        ("ollama", "/api/tags"), ("lmstudio", "/v1/models"), ("openai_compatible", "/v1/models"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "written", ["http://box:1234", "http://box:1234/", "http://box:1234/v1", "http://box:1234/v1/"]
)
def test_health_hangs_on_the_root(kind: str, health: str, written: str) -> None:
    base = api_base(KINDS[kind], written)
    assert base == "http://box:1234/v1"
    assert KINDS[kind].health_url(base) == f"http://box:1234{health}"
    assert KINDS[kind].models_url(base) == "http://box:1234/v1/models"


def test_a_path_before_the_version_stays() -> None:
    base = api_base(KINDS["vllm"], "https://house.example/models/big/")
    assert base == "https://house.example/models/big/v1"
    assert KINDS["vllm"].health_url(base) == "https://house.example/models/big/health"


@pytest.mark.parametrize(
    ("kind", "written", "base"),
    [
        ("openai", "", "https://api.openai.com/v1"),
        ("groq", "", "https://api.groq.com/openai/v1"),
        ("groq", "https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("groq", "https://api.groq.com/openai/", "https://api.groq.com/openai/v1"),
        ("openrouter", "https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("deepseek", "https://api.deepseek.com", "https://api.deepseek.com/v1"),
        ("openai", "https://proxy.example/api/v3", "https://proxy.example/api/v3"),
        ("gemini", "https://proxy.example", "https://proxy.example/v1beta"),
        ("anthropic", "https://api.anthropic.com/v1/", "https://api.anthropic.com"),
        ("azure", "https://house.openai.azure.com/openai/v1/", "https://house.openai.azure.com"),
        ("demo", "", ""),
    ],
)
def test_the_api_base(kind: str, written: str, base: str) -> None:
    assert api_base(KINDS[kind], written) == base


@pytest.mark.parametrize(
    "written", ["", "box:8000", "ftp://box", "http://", "http://box?x=1", "http://box/#a", "http://box?"]
)
def test_what_is_no_api_base(written: str) -> None:
    with pytest.raises(ValueError, match=r"base_url|http://|query"):
        api_base(KINDS["vllm"], written)


def test_capabilities() -> None:
    lacking = {kind.id: ALL - kind.capabilities for kind in KINDS.values() if kind.capabilities != ALL}
    assert lacking["tgi"] == {"embeddings"}
    assert lacking["llamacpp"] == {"tools"}
    assert lacking["groq"] == {"completions", "embeddings"}
    assert not lacking.keys() & {"vllm", "ollama", "sglang", "localai", "lmstudio", "openai_compatible", "openai"}
    assert [kind.id for kind in KINDS.values() if not kind.stream_options] == ["mistral"]


def test_auth_headers() -> None:
    assert KINDS["openai"].auth_headers("k") == {"authorization": "Bearer k"}
    assert KINDS["anthropic"].auth_headers("k") == {"x-api-key": "k"}
    assert KINDS["gemini"].auth_headers("k") == {"x-goog-api-key": "k"}
    assert KINDS["azure"].auth_headers("k") == {"api-key": "k"}
