"""How hard is a request? A pure function of its body, in microseconds.

`routing.features` measures the request, `routing.rules` or `routing.learned` weighs what was found; both give a score,
which is cut into the same four tiers.
"""

from typing import Any

from routing import learned, rules
from routing.endpoints import Endpoint
from routing.exchange import Label, Wishes
from routing.features import measure

KINDS = ("rules", "learned")


def classify(endpoint: Endpoint, body: dict[str, Any], wishes: Wishes, kind: str = "rules") -> Label:
    """Tier (simple, moderate, complex, expert), score 0 to 1 (higher = harder), task and size in tokens of `body`.

    `complexity` and `task` in the request override what was found; nothing that its text claims does. `kind` is `rules`
    or `learned`.
    """
    found = measure(endpoint, body)
    if endpoint.embeds:  # nothing is asked that could be hard
        return Label(wishes.complexity or rules.tier(0.0), 0.0, "embedding", found.prompt_tokens, found)
    score = learned.score(found) if kind == "learned" else rules.score(found)
    return Label(
        complexity=wishes.complexity or rules.tier(score),
        score=score,
        task=wishes.task or ("vision" if found.images else "chat"),
        prompt_tokens=found.prompt_tokens,
        features=found,
    )
