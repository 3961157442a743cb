"""What a server of one's own says of its models beyond OpenAI's list: which are in memory, how much they read, what
they can do. Each kind is asked in its own API, whose paths hang on the root.

A server that does not answer here (a proxy that shows only `/v1`, an old version) is no worse for it: it is unknown.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from gateway_project.lib import bounded_json
from keys.kinds import VERSION, Kind
from keys.probe import ListedModel
from routing import families, provider_lists
from routing.provider_lists import Entry, count, first_count

# Of Ollama's models, how many are looked at in one probe. The rest has its turn in the next.
LOOKS = 64
SENSES = frozenset({"vision", "audio"})
OLLAMA_CAN = {"vision": "vision", "audio": "audio", "tools": "tools", "thinking": "reasoning"}


class Server(Protocol):
    """How a server is asked: status and body, redirects refused and sizes bounded by whoever does it."""

    async def get(self, url: str) -> tuple[int, bytes]: ...

    async def post(self, url: str, body: bytes) -> tuple[int, bytes]: ...


@dataclass(slots=True)
class Details:
    """What is known of a server's models: those in memory (None: unknown), and what is said of them."""

    loaded: tuple[str, ...] | None = None
    listed: dict[str, ListedModel] = field(default_factory=dict)

    def add(self, name: str, **said: Any) -> None:
        """Let what `said` says of a model hold, besides what is known of it."""
        told = {what: value for what, value in said.items() if value is not None}
        if told:
            self.listed[name] = replace(self.listed.get(name) or ListedModel(), **told)


def from_list(kind: Kind, entries: Mapping[str, Entry]) -> Details:
    """What the provider's list says by itself."""
    told = {name: provider_lists.listed(kind, entry) for name, entry in entries.items()}
    return Details(provider_lists.loaded(entries), {name: said for name, said in told.items() if said})


async def look(
    kind: Kind, base_url: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], into: Details
) -> None:
    """Bring into `into`, bit by bit, what the server's own API says of its models.

    `known` was said before: what takes a question for each model is not asked again. Raises what `server` raises.
    """
    ask = _ASK.get(kind.id)
    if ask is not None:
        await ask(VERSION.sub("", base_url), server, names, known, into)


# --- Each kind -----------------------------------------------------------------------------------

Ask = Callable[[str, Server, tuple[str, ...], Mapping[str, ListedModel], Details], Awaitable[None]]


async def _ollama(
    root: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], details: Details
) -> None:
    details.listed = {name: known[name] for name in names if name in known}
    running = _entries(await _json(server.get(f"{root}/api/ps")), "models")
    if running is not None:
        in_memory = {name: entry for entry in running if (name := _ollama_name(entry)) is not None and name in names}
        details.loaded = tuple(in_memory)
        for name, entry in in_memory.items():
            # What it was started with is how much it reads, whatever it could. It stays known when it is unloaded.
            details.add(name, context_window=count(entry.get("context_length")))
    for name in [name for name in names if name not in known][:LOOKS]:
        said = await _json(server.post(f"{root}/api/show", orjson.dumps({"model": name})))
        if isinstance(said, dict):
            started = details.listed.get(name)
            window = started.context_window if started else None
            details.add(name, context_window=window or _ollama_window(said), capabilities=_ollama_capabilities(said))


def _ollama_name(entry: Entry) -> str | None:
    return provider_lists.usable_name(entry.get("model") or entry.get("name"))


def _ollama_window(said: Entry) -> int | None:
    """What its Modelfile sets, else what the model was made for: the most that it can be started with."""
    parameters, model = said.get("parameters"), said.get("model_info")
    for line in parameters.splitlines() if isinstance(parameters, str) else ():
        name, _, value = line.strip().partition(" ")
        if name == "num_ctx" and value.strip().isdecimal():
            return count(int(value.strip()[:12]))
    if not isinstance(model, dict):
        return None
    return first_count(model, [name for name in model if name.endswith(".context_length")])


def _ollama_capabilities(said: Entry) -> frozenset[str] | None:
    can = said.get("capabilities")
    if not isinstance(can, list) or "completion" not in can:
        return None
    return frozenset(OLLAMA_CAN[name] for name in can if isinstance(name, str) and name in OLLAMA_CAN) | {"json"}


async def _lmstudio(
    root: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], details: Details
) -> None:
    entries = _entries(await _json(server.get(f"{root}/api/v0/models")), "data")
    if entries is None:
        return
    found = {name: entry for name, entry in provider_lists.by_name(entries).items() if name in names}
    details.loaded = provider_lists.loaded(found)
    for name, entry in found.items():
        window = first_count(entry, ("loaded_context_length", "max_context_length"))
        details.add(name, context_window=window, capabilities=_lmstudio_capabilities(entry))


def _lmstudio_capabilities(entry: Entry) -> frozenset[str] | None:
    if entry.get("type") not in ("llm", "vlm"):
        return None
    can = entry.get("capabilities")
    if not isinstance(can, list):
        return None
    found = {"json"} | ({"vision"} if entry["type"] == "vlm" else set())
    return frozenset(found | ({"tools"} if "tool_use" in can else set()))


async def _llamacpp(
    root: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], details: Details
) -> None:
    if details.loaded is not None or len(names) != 1:
        return  # its router serves many, each with properties of its own once it runs
    details.loaded = names
    said = await _json(server.get(f"{root}/props"))
    if not isinstance(said, dict):
        return
    settings, senses = said.get("default_generation_settings"), said.get("modalities")
    details.add(
        names[0],
        context_window=count(settings.get("n_ctx")) if isinstance(settings, dict) else None,
        capabilities=_llamacpp_capabilities(names[0], senses) if isinstance(senses, dict) else None,
    )


def _llamacpp_capabilities(name: str, senses: Entry) -> frozenset[str]:
    """What the family is known for, with eyes and ears only where it was started with them (`--mmproj`)."""
    known = families.capabilities(name) or frozenset()
    has = {sense for sense in SENSES if senses.get(sense) is True}
    return (known - SENSES) | has | {"json"}


async def _tgi(
    root: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], details: Details
) -> None:
    details.loaded = names
    said = await _json(server.get(f"{root}/info"))
    if isinstance(said, dict) and len(names) == 1:
        details.add(names[0], context_window=count(said.get("max_total_tokens")))


async def _localai(
    root: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], details: Details
) -> None:
    entries = _entries(await _json(server.get(f"{root}/system")), "loaded_models")
    if entries is not None:
        details.loaded = tuple(name for name in provider_lists.by_name(entries) if name in names)


async def _serves_what_it_holds(
    root: str, server: Server, names: tuple[str, ...], known: Mapping[str, ListedModel], details: Details
) -> None:
    details.loaded = names


_ASK: Mapping[str, Ask] = {
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "llamacpp": _llamacpp,
    "tgi": _tgi,
    "localai": _localai,
    "vllm": _serves_what_it_holds,
    "sglang": _serves_what_it_holds,
}


# --- Reading -------------------------------------------------------------------------------------


async def _json(answer: Awaitable[tuple[int, bytes]]) -> Any:
    """What the server said; None when it has no such path, or said no JSON."""
    status, body = await answer
    if status != 200:
        return None
    try:
        return bounded_json.loads(body)
    except ValueError:
        return None


def _entries(document: Any, name: str) -> list[dict[str, Any]] | None:
    found = document.get(name) if isinstance(document, dict) else None
    return _dicts(found) if isinstance(found, list) else None


def _dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]
