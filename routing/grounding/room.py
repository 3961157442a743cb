"""How many tokens of passages a request has room for."""

from collections.abc import Iterable

from analytics import tokens
from routing.exchange import Exchange
from routing.grounding.sources import FENCE_TOKENS
from routing.naming import is_name, targets_named
from routing.providers.base import Target
from routing.snapshot import WorkspaceTargets

# More passages make answers longer, dearer and, beyond some, worse (Liu et al. 2023, "Lost in the Middle").
MOST = 8_000
# What an answer is left where the request does not say, and the rules before the passages.
ANSWER, RULES = 1_024, 150
# Tokenizers differ: of what is left, this share is used.
MARGIN = 0.9
# Characters of a passage that is counted at all; a longer one has no room. Counting so many takes some 20 ms.
LONGEST = 25 * MOST


def room_for(exchange: Exchange, view: WorkspaceTargets) -> int:
    """Tokens for passages: what the largest window that may be asked has left, at most `MOST`. Not negative."""
    windows = [target.facts.context_window for target in _candidates(exchange, view)]
    largest = None if not windows or None in windows else max(window for window in windows if window is not None)
    if largest is None:
        return MOST
    asked = exchange.body.get("max_completion_tokens") or exchange.body.get("max_tokens")
    answer = asked if type(asked) is int and asked > 0 else min(ANSWER, largest // 4)
    prompt = tokens.estimate_request(exchange.body, exchange.endpoint.content)
    return max(0, min(MOST, int((largest - prompt - answer - RULES) * MARGIN)))


def _candidates(exchange: Exchange, view: WorkspaceTargets) -> Iterable[Target]:
    if is_name(exchange.model):
        return targets_named(exchange.model, view)
    models = exchange.policy.models
    return [
        target
        for target in view.all
        if target.facts.enabled and (models is None or target.model in models or target.id in models)
    ]


def taken(content: str) -> int:
    """What a passage takes of the room."""
    return (tokens.count(content) if len(content) <= LONGEST else MOST) + FENCE_TOKENS
