"""The transport of the kinds that litellm translates, imported on first use: httpx alone takes 5 MB and a while."""

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from routing.endpoints import EMBEDDINGS
from routing.providers import openai_aside
from routing.providers.base import Reply, Target, Timeouts

if TYPE_CHECKING:
    from routing.providers.litellm_bridge import LiteLLMBridge


@functools.cache
def _bridge() -> "LiteLLMBridge":
    from routing.providers.litellm_bridge import LiteLLMBridge

    return LiteLLMBridge()


class LiteLLM:
    """`LiteLLMBridge`, once somebody asks for it; embeddings need no translation."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> Reply:
        """See `routing.providers.base.Transport`."""
        if endpoint == EMBEDDINGS.path:
            return await openai_aside.embeddings(target, body, timeouts=timeouts)
        bridge = _bridge() if _bridge.cache_info().currsize else await asyncio.to_thread(_bridge)
        return await bridge.send(target, endpoint, body, stream=stream, timeouts=timeouts)
