"""Whether a provider can have used what it says it used: what cannot be is set aside, and counted here instead.

A number that no model could reach is an upstream's defect, and would spend a budget that nobody spent.
"""

import logging
from typing import Any, Final

from analytics.usage import Usage
from routing.budgets.bounds import LARGEST, Size, measure_answer
from routing.providers.base import Target

logger = logging.getLogger(__name__)

# How often one answer's making may fill the model's window: a provider that searches or runs tools by itself asks its
# model several times for one request.
ROUNDS: Final = 8
# The least that a window is taken for, since a workspace may say that a model's is smaller than it is.
LEAST: Final = 131_072


def is_possible(body: dict[str, Any], target: Target, usage: Usage) -> bool:
    """Whether `usage` can be that of the request `body` at `target`. What cannot be is logged."""
    most = ROUNDS * max(target.facts.context_window or LARGEST, LEAST)
    if usage.prompt <= most and usage.completion <= most:
        return True
    most *= _times(body)
    if usage.prompt <= most and usage.completion <= most:
        return True
    logger.warning(
        "%s says that one request of %s used %d and %d tokens, which cannot be: they are counted here",
        target.provider, target.model, usage.prompt, usage.completion,
    )  # fmt: skip
    return False


def _times(body: dict[str, Any]) -> int:
    """For how many answers, or texts, a request asks."""
    size, texts = Size(0), body.get("input")
    measure_answer(body, size)
    return max(size.answers, len(texts) if type(texts) is list else 1)
