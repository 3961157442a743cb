"""How hard is a request? A pure function of its body.

The one feature so far is the prompt's length, which on public question sets nearly matches the learned routers
(RouteLLM, Ong et al. 2024, on MMLU: APGR .586 for "longest prompt", .603 for the best). The answer's shape is final.
"""

from typing import Any

from routing.endpoints import CHAT, Endpoint
from routing.exchange import Label, Wishes

# English text has about four characters to a token with the tokenizers in use.
CHARACTERS_PER_TOKEN = 4
# Prompt tokens from which a request counts as the next tier.
TIERS = ((50, "simple"), (300, "moderate"), (1500, "complex"))
LAST_TIER = "expert"
# The length at which the score is one half: the tiers' middle.
MIDDLE = 300


def classify(endpoint: Endpoint, body: dict[str, Any], wishes: Wishes) -> Label:
    """Tier (simple, moderate, complex, expert), score 0 to 1 (higher = harder), task and size in tokens of `body`.

    `complexity` and `task` in the request override what was found.
    """
    characters, images = _measure(endpoint, body)
    size = characters // CHARACTERS_PER_TOKEN
    tier = wishes.complexity or next((name for limit, name in TIERS if size < limit), LAST_TIER)
    task = wishes.task or ("vision" if images else "chat")
    return Label(complexity=tier, score=size / (size + MIDDLE), task=task, prompt_tokens=size)


def _measure(endpoint: Endpoint, body: dict[str, Any]) -> tuple[int, int]:
    """Characters of text, and number of images, in the request."""
    if endpoint.content != CHAT.content:
        prompt = body[endpoint.content]
        return (len(prompt) if type(prompt) is str else sum(len(part) for part in prompt if type(part) is str)), 0
    characters = images = 0
    for message in body["messages"]:
        content = message.get("content")
        if type(content) is str:
            characters += len(content)
        elif type(content) is list:
            for part in content:
                if type(part) is not dict:
                    continue
                text = part.get("text")
                if type(text) is str:
                    characters += len(text)
                elif part.get("type") == "image_url":
                    images += 1
    return characters, images
