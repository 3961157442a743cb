"""Which model a name means here, and what is known of it before it is loaded."""

import logging
import threading
import time
from dataclasses import dataclass, replace

from django.conf import settings

from rag.embedding.catalog import CARDS, FALLBACK_TEXT, Modality, ModelCard, card
from rag.embedding.client import ModelState
from rag.embedding.engine import weights as w
from rag.embedding.errors import ModelUnavailable, UnknownModel

logger = logging.getLogger(__name__)

# What a name means is looked up on the disk anew after so long: the chunker asks a thousand times a second.
CHOSEN_SECONDS = 5.0
# A list of what lies on the disk is made anew after so long.
LISTED_SECONDS = 15.0


@dataclass(frozen=True)
class Choice:
    """A model whose weights are here. `fallback_for` and `why`: it stands in for another, for this reason."""

    card: ModelCard
    weights: w.Weights
    fallback_for: str = ""
    why: str = ""


class Chooser:
    """Resolves names. Its answer for the text default holds until `refresh`, so that it does not change by itself."""

    def __init__(self) -> None:
        self._fetcher = w.Fetcher()
        self._lock = threading.Lock()
        self._default: Choice | None = None
        self._chosen: dict[tuple[str, Modality], tuple[float, Choice]] = {}
        self._listed: tuple[float, list[ModelState]] = (0.0, [])

    def choose(self, name: str, modality: Modality = "text") -> Choice:
        """The model of this name; "" is the installation's, which for texts may be the fallback.

        Raises UnknownModel and ModelUnavailable. May wait some seconds to hear of the hub, once.
        """
        if not name and modality == "text":
            return self.text_default()
        known = self._chosen.get((name, modality))
        if known is not None and time.monotonic() - known[0] < CHOSEN_SECONDS:
            return known[1]
        found = known_card(name or installations(modality), modality)
        choice = Choice(found, self._fetcher.get(found))
        self._chosen = {**dict(list(self._chosen.items())[-100:]), (name, modality): (time.monotonic(), choice)}
        return choice

    def find(self, name: str) -> ModelState:
        """What is known of the text model `name` without loading it, also while its weights are on their way.

        Raises as `choose`.
        """
        try:
            choice = self.choose(name)
        except w.BeingFetched as error:
            return replace(_state(known_card(name, "text")), available=False, note=error.why)
        return replace(_state(choice.card), revision=choice.weights.revision)

    def text_default(self) -> Choice:
        """What texts are embedded by when nobody names a model. Raises BeingFetched while it is on its way."""
        with self._lock:
            if self._default is None:
                self._default = self._choose_default()
                self._tell(self._default)
            return self._default

    def refresh(self) -> None:
        """Look again whether what the fallback stands in for has come."""
        if self._default is not None and self._default.fallback_for:
            try:
                found = self._choose_default()
            except ModelUnavailable:
                return
            if not found.fallback_for:
                self._default = found
                self._tell(found)

    @property
    def settled(self) -> Choice | None:
        """The text default, once somebody asked for it."""
        return self._default

    @property
    def fallback(self) -> Choice | None:
        """The text default, if it stands in for another."""
        return self._default if self._default and self._default.fallback_for else None

    def _choose_default(self) -> Choice:
        wanted = known_card(settings.EMBEDDING_TEXT_MODEL, "text")
        try:
            return Choice(wanted, self._fetcher.get(wanted))
        except w.BeingFetched:
            raise
        except (ModelUnavailable, UnknownModel) as error:
            stand_in = card(FALLBACK_TEXT)
            found = w.find(stand_in)
            if found is None or stand_in.name == wanted.name:
                raise
            return Choice(stand_in, found, wanted.name, getattr(error, "why", str(error)))

    @staticmethod
    def _tell(choice: Choice) -> None:
        if choice.fallback_for:
            logger.warning(
                "texts are embedded by %s instead of %s: %s", choice.card.name, choice.fallback_for, choice.why
            )
        else:
            logger.info("texts are embedded by %s (%s)", choice.card.name, choice.weights.revision)

    def listed(self) -> list[ModelState]:
        """The installation's models and all listed ones whose weights are here; none is loaded or fetched for it."""
        made, states = self._listed
        if not states or time.monotonic() - made > LISTED_SECONDS:
            states = self._list()
            self._listed = (time.monotonic(), states)
        return states

    def _list(self) -> list[ModelState]:
        settled = self._default
        default = settled.card.name if settled else settings.EMBEDDING_TEXT_MODEL
        cards: dict[str, ModelCard] = {}
        for modality in _MODALITIES:
            if installations(modality):
                found = known_card(installations(modality), modality)
                cards[found.name] = found
        wanted = list(cards)
        for each in CARDS:
            cards.setdefault(each.name, each)
        states: list[ModelState] = []
        for each in cards.values():
            here = w.find(each)
            if here is None and each.name not in wanted:
                continue
            state = replace(_state(each), revision=here.revision if here else "", available=here is not None)
            if here is None:
                state = replace(state, note=self._absent(each))
            if each.name == default:
                state = replace(state, default=True)
                if settled and settled.fallback_for:
                    state = replace(state, fallback_for=settled.fallback_for, note=settled.why)
            states.append(state)
        return states

    def _absent(self, absent: ModelCard) -> str:
        if self.fallback and self.fallback.fallback_for == absent.name:
            return self.fallback.why
        return self._fetcher.state(absent)


def known_card(name: str, modality: Modality) -> ModelCard:
    """The card of a name. Raises UnknownModel when it is one of another modality, or no name."""
    found = card(name, modality)
    if not found.name:
        raise UnknownModel("", f"has to be named: this installation has no {modality} model")
    if found.known and found.modality != modality:
        raise UnknownModel(name, f"is no {_PEOPLES[modality]} model")
    if not found.known and modality not in (_modalities_of(name) or {modality}):
        raise UnknownModel(name, f"is no {_PEOPLES[modality]} model")
    return found


_PEOPLES: dict[Modality, str] = {"text": "text", "image": "image", "audio": "audio", "rerank": "reranking"}
_MODALITIES = tuple(_PEOPLES)


def installations(modality: Modality) -> str:
    """The model that a variable names for this modality."""
    name: str = getattr(settings, f"EMBEDDING_{modality.upper()}_MODEL")
    return name


def _modalities_of(name: str) -> set[Modality]:
    """What the variables take the model of this name for; nothing where none names it."""
    return {modality for modality in _MODALITIES if installations(modality) == name}


def _state(of: ModelCard) -> ModelState:
    return ModelState(id=of.name, modality=of.modality, dimensions=list(of.dimensions), max_tokens=of.max_tokens)
