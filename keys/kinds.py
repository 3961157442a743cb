"""What each provider kind is: a base for the OpenAI wire, and the declared differences of each.

How a kind is called stands in `routing/providers`. Sources: each provider's API reference, read in 2026-11.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

ALL = frozenset({"chat", "completions", "models", "embeddings", "streaming", "tools", "vision"})

# "embedder" is of no kind that users can add: the gateway's own models (`routing.embeddings.house`).
Wire = Literal["openai", "litellm", "demo", "embedder"]

VERSION = re.compile(r"/v\d+[a-z0-9]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A provider kind. Its defaults describe a self-hosted server with OpenAI's wire at `/v1`."""

    id: str
    label: str
    wire: Wire = "openai"
    # The API base when the user names none; "" where there can be no default.
    base_url: str = ""
    # What the path of an API base ends with: `api_base` adds it where it is missing.
    base_path: str = "/v1"
    # The header that carries the key; `authorization` carries it as a bearer token.
    auth_header: str = "authorization"
    needs_key: bool = False
    self_hosted: bool = True
    # Hangs on the root, not on the API base; "" where listing the models is the only check.
    health_path: str = "/health"
    # Under the API base.
    models_path: str = "/models"
    models_headers: tuple[tuple[str, str], ...] = ()
    # False where a key's own models cannot be listed with it, so that the user must name them.
    lists_models: bool = True
    capabilities: frozenset[str] = ALL
    # Whether `stream_options` may be sent; where it may not, usage comes without being asked for.
    stream_options: bool = True
    # What litellm puts before a model's id.
    litellm_prefix: str = ""

    def can(self, capability: str) -> bool:
        return capability in self.capabilities

    def auth_headers(self, key: str) -> dict[str, str]:
        """The header that authenticates with `key`."""
        return {self.auth_header: f"Bearer {key}" if self.auth_header == "authorization" else key}

    def health_url(self, api_base: str) -> str:
        """Where a server answers that it is well; "" where the kind has no such place."""
        return VERSION.sub("", api_base) + self.health_path if self.health_path else ""

    def models_url(self, api_base: str) -> str:
        return api_base + self.models_path


def cloud(id: str, label: str, base_url: str, **differences: object) -> Kind:
    """A public API with OpenAI's wire, at `base_url` unless the user says otherwise."""
    defaults: dict[str, object] = {
        "base_path": urlsplit(base_url).path,
        "needs_key": True,
        "self_hosted": False,
        "health_path": "",
    }
    return Kind(id=id, label=label, base_url=base_url, **{**defaults, **differences})  # type: ignore[arg-type]


KINDS: dict[str, Kind] = {
    kind.id: kind
    for kind in (
        cloud("openai", "OpenAI", "https://api.openai.com/v1"),
        cloud(
            "anthropic", "Anthropic", "https://api.anthropic.com",
            wire="litellm", litellm_prefix="anthropic",
            auth_header="x-api-key",
            models_path="/v1/models?limit=1000", models_headers=(("anthropic-version", "2023-06-01"),),
            capabilities=ALL - {"completions", "embeddings"},
        ),
        cloud(
            "gemini", "Google Gemini", "https://generativelanguage.googleapis.com/v1beta",
            wire="litellm", litellm_prefix="gemini",
            auth_header="x-goog-api-key", models_path="/models?pageSize=1000",
            capabilities=ALL - {"completions"},
        ),
        # A key sees the models of its region, not its deployments, and requests name deployments.
        cloud(
            "azure", "Azure OpenAI", "",
            wire="litellm", litellm_prefix="azure",
            auth_header="api-key", models_path="/openai/models?api-version=2024-10-21", lists_models=False,
            capabilities=ALL - {"completions"},
        ),
        # Sends usage with the last chunk by itself and answers 422 to `stream_options`.
        cloud(
            "mistral", "Mistral", "https://api.mistral.ai/v1",
            stream_options=False, capabilities=ALL - {"completions"},
        ),
        cloud(
            "groq", "Groq", "https://api.groq.com/openai/v1",
            capabilities=ALL - {"completions", "embeddings"},
        ),
        # Its /completions takes fill-in-the-middle only, under /beta.
        cloud(
            "deepseek", "DeepSeek", "https://api.deepseek.com/v1",
            capabilities=ALL - {"completions", "embeddings", "vision"},
        ),
        cloud("openrouter", "OpenRouter", "https://openrouter.ai/api/v1"),
        cloud("together", "Together AI", "https://api.together.xyz/v1"),
        cloud("xai", "xAI", "https://api.x.ai/v1", capabilities=ALL - {"embeddings"}),
        Kind(id="vllm", label="vLLM"),
        Kind(id="ollama", label="Ollama", health_path="/api/tags"),
        # Tools need its --jinja flag.
        Kind(id="llamacpp", label="llama.cpp", capabilities=ALL - {"tools"}),
        Kind(id="tgi", label="Text Generation Inference", capabilities=ALL - {"embeddings"}),
        Kind(id="sglang", label="SGLang"),
        Kind(id="localai", label="LocalAI"),
        Kind(id="lmstudio", label="LM Studio", health_path="/v1/models"),
        Kind(id="openai_compatible", label="OpenAI-compatible server", health_path="/v1/models"),
        Kind(
            id="demo", label="Demo", wire="demo", base_path="", auth_header="", health_path="", models_path="",
            capabilities=frozenset({"chat", "completions", "models", "streaming"}),
        ),
    )
}  # fmt: skip


def api_base(kind: Kind, base_url: str) -> str:
    """The address that `kind`'s paths hang on, without a trailing slash; "" for a kind that has none.

    `base_url` may be empty (the kind's default) and may leave out the API's version: `http://host:8000` and
    `http://host:8000/v1/` are the same vLLM, `https://api.groq.com` the same Groq. A path that ends with
    a version of its own stands as it is. Raises `ValueError`, in plain words, for what is no API base.
    """
    if kind.wire == "demo":
        return ""
    text = base_url.strip() or kind.base_url
    if not text:
        raise ValueError(f"{kind.label} needs a base_url.")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that starts with http:// or https:// and names a host.")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError("must have no query and no fragment.")
    return urlunsplit((parts.scheme, parts.netloc, _versioned(kind, parts.path.rstrip("/")), "", ""))


def _versioned(kind: Kind, path: str) -> str:
    if not kind.base_path:
        # These hang their versions on the root themselves, so a pasted one goes.
        return VERSION.sub("", path).removesuffix("/openai")
    if VERSION.search(path):
        return path
    # "/openai" is the beginning of Groq's "/openai/v1": only the rest is missing.
    missing = kind.base_path
    for end in range(missing.rfind("/"), 0, -1):
        if missing[end] == "/" and path.endswith(missing[:end]):
            return path + missing[end:]
    return path + missing
