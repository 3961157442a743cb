"""A gateway that needs no translation never pays for litellm: seconds at start, 100 MB for good."""

import os
import subprocess
import sys

from tests.upstream import Upstream

SERVE = """
import asyncio, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings"
import django
django.setup()
import gateway_project.asgi
from analytics import pricing, tokens
from analytics.usage import usage_from
from keys.kinds import KINDS, api_base
from keys.vault import Secret
from routing.providers.base import DEFAULT_TIMEOUTS, Target
from routing.providers.attempt import TRANSPORTS
from routing.http1 import close_pools
import orjson

async def serve():
    kind = KINDS["openai"]
    target = Target("id", "name", kind, api_base(kind, sys.argv[1]), "gpt-4o-mini", False, Secret("sk-test"))
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    ask = lambda stream: TRANSPORTS["openai"].send(
        target, "/chat/completions", {**body, "stream": stream}, stream=stream, timeouts=DEFAULT_TIMEOUTS
    )
    whole, reply = await ask(False), await ask(True)
    blocks = [block async for block in reply.blocks]
    usage = usage_from(orjson.loads(whole.body), "openai")
    assert pricing.cost(pricing.price_for("openai", "gpt-4o-mini", False), usage) > 0
    assert tokens.count(tokens.completion_text(b"".join(blocks))) > 0
    await close_pools()

asyncio.run(serve())
heavy = {"litellm", "torch", "transformers", "openai", "numpy", "httpx", "aiohttp"} & sys.modules.keys()
assert not heavy, f"imported: {heavy}"
"""


def test_starting_and_serving_openais_wire_imports_neither_litellm_nor_torch() -> None:
    with Upstream() as upstream:
        ran = subprocess.run(
            [sys.executable, "-c", SERVE, upstream.base_url()],
            env=os.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
