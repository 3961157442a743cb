"""What each kind of server tells of its models in its own API, and what is made of it when it tells nonsense."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from pytest_django import Settings

from keys.kinds import KINDS, api_base
from keys.probe import ListedModel, ProbeResult
from keys.vault import Secret
from routing.discovery import probe, run
from tests.keys.server import Server
from tests.routing.fleet_server import Ollama, shown

SECRET = Secret("sk-probe-0123456789")


@pytest.fixture(autouse=True)
def _local_hosts(settings: Settings) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ("localhost", "127.0.0.1", "::1")
    settings.ENVIRONMENT_HOSTS = ()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def ask(kind: str, server: Server, known: dict[str, ListedModel] | None = None, seconds: float = 5) -> ProbeResult:
    result = run(probe(KINDS[kind], api_base(KINDS[kind], server.url), SECRET, seconds, known or {}))
    assert result.ok, result.error
    return result


# --- Ollama --------------------------------------------------------------------------------------


def test_ollama_tells_what_is_in_memory_and_what_models_can_do(server: Server) -> None:
    ollama = Ollama(server)
    ollama.has(llama_8b=shown(131072, "tools"), eye_latest=shown(8192, "vision", "thinking"))
    ollama.runs(llama_8b=32768)
    result = ask("ollama", server)
    assert result.loaded == ("llama:8b",)
    assert result.listed["llama:8b"] == ListedModel(context_window=32768, capabilities=frozenset({"tools", "json"}))
    assert result.listed["eye:latest"].capabilities == frozenset({"vision", "reasoning", "json"})
    assert result.listed["eye:latest"].context_window == 8192
    assert all(request.headers["authorization"] == f"Bearer {SECRET.reveal()}" for request in server.requests)


def test_ollama_is_not_asked_twice_of_a_model(server: Server) -> None:
    ollama = Ollama(server)
    ollama.has(a=shown(4096), b=shown(4096, parameters='stop           "<eot>"\nnum_ctx        16384'))
    first = ask("ollama", server)
    assert first.listed["b"].context_window == 16384
    assert ollama.looks() == 2
    ollama.has(a=shown(4096), b=shown(4096), c=shown(4096))
    second = ask("ollama", server, known=dict(first.listed))
    assert ollama.looks() == 3
    assert second.listed == {**first.listed, "c": second.listed["c"]}


def test_a_window_learnt_while_in_memory_stays_known(server: Server) -> None:
    ollama = Ollama(server)
    ollama.has(a=shown(131072))
    ollama.runs(a=4096)
    known = dict(ask("ollama", server).listed)
    ollama.runs()
    result = ask("ollama", server, known)
    assert (result.loaded, result.listed["a"].context_window) == ((), 4096)


def test_a_model_for_embeddings_claims_nothing(server: Server) -> None:
    Ollama(server).has(embed={**shown(2048), "capabilities": ["embedding"]})
    assert ask("ollama", server).listed["embed"] == ListedModel(context_window=2048)


def test_an_ollama_behind_a_proxy_that_shows_only_v1_is_well(server: Server) -> None:
    server.models("a")
    result = ask("ollama", server)
    assert (result.models, result.loaded, result.listed) == (("a",), None, {})


def test_a_slow_answer_about_the_details_costs_only_the_details(server: Server) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    ollama = Ollama(server)
    ollama.has(a=shown(4096))
    ollama.runs(a=2048)
    server.answers["/api/show"] = never
    result = ask("ollama", server, seconds=0.5)
    assert (result.ok, result.loaded, result.listed) == (True, ("a",), {"a": ListedModel(context_window=2048)})
    assert result.latency_ms < 3000


# --- The others ----------------------------------------------------------------------------------


def test_lm_studio(server: Server) -> None:
    server.models("small", "eye", "text-embedding")
    entries = [
        {"id": "small", "type": "llm", "state": "loaded", "max_context_length": 131072, "loaded_context_length": 4096,
         "capabilities": ["tool_use"]},
        {"id": "eye", "type": "vlm", "state": "not-loaded", "max_context_length": 32768, "capabilities": []},
        {"id": "text-embedding", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        {"id": "of somebody else", "type": "llm", "state": "loaded"},
    ]  # fmt: skip
    server.json("/api/v0/models", {"object": "list", "data": entries})
    result = ask("lmstudio", server)
    assert result.loaded == ("small",)
    assert result.listed == {
        "small": ListedModel(context_window=4096, capabilities=frozenset({"tools", "json"})),
        "eye": ListedModel(context_window=32768, capabilities=frozenset({"vision", "json"})),
        "text-embedding": ListedModel(context_window=2048),
    }


def test_vllm_and_sglang_hold_what_they_serve(server: Server) -> None:
    server.json("/v1/models", {"object": "list", "data": [{"id": "qwen", "max_model_len": 32768}, {"id": "lora"}]})
    for kind in ("vllm", "sglang"):
        result = ask(kind, server)
        assert result.loaded == ("qwen", "lora")
        assert result.listed == {"qwen": ListedModel(context_window=32768)}


def test_llamacpp_serves_one_model(server: Server) -> None:
    server.json("/v1/models", {"data": [{"id": "model.gguf", "meta": {"n_ctx_train": 131072}}]})
    server.json("/props", {"default_generation_settings": {"n_ctx": 8192}, "total_slots": 4})
    result = ask("llamacpp", server)
    assert result.loaded == ("model.gguf",)
    assert result.listed == {"model.gguf": ListedModel(context_window=8192)}


@pytest.mark.parametrize(
    ("model", "senses", "can"),
    [
        ("gemma-3-4b-it.gguf", {"vision": False, "audio": False}, {"json"}),
        ("gemma-3-4b-it.gguf", {"vision": True, "audio": "yes"}, {"json", "vision"}),
        ("qwen3-8b.gguf", {"vision": False}, {"json", "reasoning", "tools"}),
        ("my-model.gguf", {"vision": True}, {"json", "vision"}),
    ],
)
def test_llamacpp_sees_only_what_it_was_started_for(
    server: Server, model: str, senses: dict[str, Any], can: set[str]
) -> None:
    server.models(model)
    server.json("/props", {"modalities": senses})
    assert ask("llamacpp", server).listed == {model: ListedModel(capabilities=frozenset(can))}


def test_llamacpps_router_says_which_run(server: Server) -> None:
    entries = [{"id": "a", "status": {"value": "loaded"}}, {"id": "b", "status": {"value": "unloaded"}}]
    server.json("/v1/models", {"data": entries})
    assert ask("llamacpp", server).loaded == ("a",)
    assert "/props" not in server.paths()


def test_text_generation_inference(server: Server) -> None:
    server.models("meta/llama")
    server.json("/info", {"model_id": "meta/llama", "max_input_tokens": 4095, "max_total_tokens": 8192})
    result = ask("tgi", server)
    assert (result.loaded, result.listed) == (("meta/llama",), {"meta/llama": ListedModel(context_window=8192)})


def test_localai(server: Server) -> None:
    server.models("a", "b")
    server.json("/system", {"backends": ["llama-cpp"], "loaded_models": [{"id": "b"}, {"id": "gone"}]})
    assert ask("localai", server).loaded == ("b",)


def test_any_other_server_says_nothing_of_it(server: Server) -> None:
    server.models("a")
    result = ask("openai_compatible", server)
    assert (result.loaded, result.listed) == (None, {})


# --- Nonsense ------------------------------------------------------------------------------------

NONSENSE: tuple[Any, ...] = (
    None, 5, "text", [], {}, [5], {"models": 5}, {"models": [5, None, {}]}, {"data": {"a": 1}},
    {"models": [{"model": ["a"], "context_length": "many"}]}, {"models": [{"model": "a", "context_length": -1}]},
    {"models": [{"model": "a", "context_length": True}]}, {"models": [{"name": "a", "context_length": 10**30}]},
    {"data": [{"id": "a", "state": 5, "type": [], "max_context_length": 1.5, "capabilities": {}}]},
    {"default_generation_settings": []}, {"default_generation_settings": {"n_ctx": "8192"}},
    {"max_total_tokens": []}, {"loaded_models": {"id": "a"}}, {"loaded_models": ["a", {"id": 7}]},
    {"parameters": 5, "model_info": [], "capabilities": "tools"},
    {"parameters": "num_ctx \u00b2\nnum_ctx", "model_info": {"x.context_length": None}},
    {"capabilities": ["completion", 5, None, []]},
)  # fmt: skip


@pytest.mark.parametrize("said", NONSENSE, ids=str)
def test_nonsense_is_not_believed_and_hides_no_model(server: Server, said: Any) -> None:
    server.models("a")
    for path in ("/api/ps", "/api/show", "/api/v0/models", "/props", "/info", "/system"):
        server.json(path, said)
    for kind in ("ollama", "lmstudio", "llamacpp", "tgi", "localai"):
        result = ask(kind, server)
        assert result.models == ("a",)
        assert result.listed.get("a", ListedModel()).context_window is None


def test_a_page_or_a_redirect_instead_of_details(server: Server) -> None:
    server.models("a")
    for path in ("/api/ps", "/api/show"):
        server.respond(path, lambda: web.Response(text="<h1>Not here</h1>", content_type="text/html"))
    assert ask("ollama", server).loaded is None
    headers = {"location": "http://169.254.169.254/"}
    server.respond("/api/ps", lambda: web.Response(status=302, headers=headers))
    assert ask("ollama", server).models == ("a",)


def test_a_model_named_like_the_key_is_dropped_everywhere(server: Server) -> None:
    ollama = Ollama(server)
    name = f"x-{SECRET.reveal()}"
    ollama.has(a=shown(4096))
    server.models("a", name)
    server.json("/api/ps", {"models": [{"model": name, "context_length": 5}]})
    result = ask("ollama", server)
    assert SECRET.reveal() not in repr(result)
    assert (result.models, result.loaded) == (("a",), ())
