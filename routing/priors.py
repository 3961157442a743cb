"""How good a model is before anybody here has used it: what public leaderboards say (routing/data/quality.toml)."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing.model_names import exact, last_part, spellings, undated

FILE = Path(__file__).with_name("data") / "quality.toml"
OLLAMA = "ollama"


@dataclass(frozen=True, slots=True)
class Prior:
    """A model's quality, 0 to 1, and where that is from: the board, its date, the model as it calls it, its score."""

    quality: float
    source: str


@dataclass(frozen=True, slots=True)
class _Priors:
    by_name: Mapping[str, Prior]
    # What a spelling stands for: everywhere, and in Ollama's library. None: a model without a prior.
    aliases: Mapping[str, Prior | None]
    ollama: Mapping[str, Prior | None]


def prior_for(kind_id: str, model: str) -> Prior | None:
    """What the leaderboards say of `model` at a provider of that kind; None when it is on none."""
    known = load()
    tagged = model.removesuffix(":latest") if kind_id == OLLAMA else model
    # A word such as "latest" makes no other model, but it may make another meaning.
    for name in (last_part(tagged), *spellings(tagged)):
        if kind_id == OLLAMA and name in known.ollama:
            return known.ollama[name]
        if name in known.aliases:
            return known.aliases[name]
        if name in known.by_name:
            return known.by_name[name]
    return None


@functools.cache
def load() -> _Priors:
    """The file, read. Raises `ValueError` or `KeyError` when it contradicts itself."""
    document = tomllib.loads(FILE.read_text())
    by_name: dict[str, Prior] = {}
    newest: dict[str, Prior] = {}
    for board in document["boards"]:
        dated = sorted(board["scores"].items(), reverse=True)
        for name, score in dated:
            prior = _prior(board, name, score)
            by_name.setdefault(exact(name), prior)
            # A name without its date means the newest version that a board has.
            newest.setdefault(undated(name), prior)
    by_name = {**newest, **by_name}
    return _Priors(by_name, _meanings(document["aliases"], by_name), _meanings(document["ollama"], by_name))


def _meanings(names: Mapping[str, str], by_name: Mapping[str, Prior]) -> dict[str, Prior | None]:
    """Under the spelling of each name, and under the name itself where that has more to it."""
    found = {name: by_name[exact(meant)] if meant else None for name, meant in names.items()}
    short = {exact(name): prior for name, prior in found.items() if not name.endswith("-latest")}
    return {**short, **found}


def _prior(board: Mapping[str, Any], name: str, score: float) -> Prior:
    quality = (score - board["zero"]) / (board["one"] - board["zero"])
    return Prior(round(min(1.0, max(0.0, quality)), 4), f"{board['name']} {board['date']}: {name}, {score:g}")
