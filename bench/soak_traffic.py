"""The soak's clients: what they ask, at what pace, and what they remember of each answer."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.soak_texts import TEXTS, WITHOUT_USAGE

CLIENTS = 16
# Seconds that a client rests between two requests, at most.
REST = 0.3
# Prompts that are asked again and again at temperature 0.
REPEATED = 40
BUDGET_USD = "0.25"
# Requests of one key in any so many seconds.
LIMIT, WINDOW = 20, 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client saw: `at` in seconds since the start; `whole` when it has the answer's last byte."""

    number: int
    kind: str
    at: float
    request_id: str
    status: int
    whole: bool
    problem: str = ""


class Traffic:
    """The account, the clients, and all that they were answered."""

    def __init__(self, gateway: str, upstream: str, models: tuple[str, ...]) -> None:
        self.gateway, self.upstream, self.models = gateway, upstream, models
        self.workspace = ""
        self.keys: dict[str, dict[str, Any]] = {}
        self.answers: list[Answer] = []
        # (seconds, what happened), of the schedule.
        self.notes: list[tuple[float, str]] = []
        self.started = time.monotonic()
        self._numbers = itertools.count(1_000_000)
        self._chance = random.Random(6)

    def note(self, words: str) -> None:
        self.notes.append((time.monotonic() - self.started, words))

    async def set_up(self) -> None:
        """Sign up, and make two providers of the same models, a policy that falls back, and three keys."""
        async with aiohttp.ClientSession(self.gateway) as http:
            account = await self._post(http, "/api/auth/signup", email="soak@example.com", password="a slow brown fox")
            self.workspace = account["workspace"]["id"]
            http.headers["authorization"] = f"Bearer {account['access_token']}"
            for name in ("main", "spare"):
                await self._post(
                    http, "/api/keys/providers", kind="openai", name=name, api_key="sk-soak", models=list(self.models),
                    base_url=f"{self.upstream}/v1",
                )  # fmt: skip
            await self._post(
                http, "/api/routing/policies", name="soak", default=True, fallbacks=[f"spare/{self.models[0]}"],
                timeouts={"connect": 2, "first_byte": 2, "idle": 5, "total": 60},
            )  # fmt: skip
            free: dict[str, Any] = {"rate_limit_requests": 1_000_000, "rate_limit_window": 60}
            for name, fields in {
                "plain": free,
                "budget": {**free, "budget_usd": BUDGET_USD, "budget_period": "total"},
                "limited": {"rate_limit_requests": LIMIT, "rate_limit_window": WINDOW},
            }.items():
                self.keys[name] = await self._post(http, "/api/keys/gateway", name=name, **fields)
        await asyncio.sleep(5)  # a change is live in every process by then
        self.started = time.monotonic()

    async def _post(self, http: aiohttp.ClientSession, path: str, **fields: Any) -> Any:
        async with http.post(path, json=fields) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
            return await answer.json()

    async def run(self, seconds: float) -> None:
        """Ask for so long."""
        timeout = aiohttp.ClientTimeout(total=90)
        async with aiohttp.ClientSession(
            self.gateway, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
        ) as http:
            await asyncio.gather(*(self._client(http, self.started + seconds) for _ in range(CLIENTS)))

    async def _client(self, http: aiohttp.ClientSession, until: float) -> None:
        kinds = dict(KINDS)
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.random() * REST)
            kind = self._chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
            await kinds[kind][1](self, http, kind)

    # --- What they ask ---------------------------------------------------------------------------

    async def whole(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind)

    async def streamed(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind, stream=True)

    async def automatic(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind, model="auto", stream=self._chance.random() < 0.5)

    async def given_up(self, http: aiohttp.ClientSession, kind: str) -> None:
        """A stream that its client leaves after the first bytes."""
        await self._ask(http, kind, stream=True, leave=True)

    async def repeated(self, http: aiohttp.ClientSession, kind: str) -> None:
        """One of few prompts, at temperature 0: the cache has most of the answers."""
        number = self._chance.randrange(REPEATED)
        await self._ask(http, kind, number=number, temperature=0, stream=number % 2 == 0)

    async def retried(self, http: aiohttp.ClientSession, kind: str) -> None:
        """Sent twice with one Idempotency-Key."""
        number = next(self._numbers)
        for _ in range(2):
            await self._ask(http, kind, number=number, headers={"idempotency-key": f"soak-{number}"})

    async def untold(self, http: aiohttp.ClientSession, kind: str) -> None:
        """A stream without usage, which its client reads to the end or leaves: the gateway has to count for itself."""
        number = next(self._numbers)
        asked = f"{self._chance.choice(TEXTS)}\n\nAnswer #{number} {WITHOUT_USAGE}"
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": asked}]
        leaves = self._chance.random() < 0.5
        await self._ask(http, kind, number=number, messages=messages, stream=True, leave=leaves)

    async def unknown(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind, model="no-such-model", expect=404)

    async def malformed(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind, messages=[], expect=400)

    async def budgeted(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind, key="budget", max_tokens=1000, expect=402)

    async def limited(self, http: aiohttp.ClientSession, kind: str) -> None:
        await self._ask(http, kind, key="limited", expect=429)

    async def _ask(
        self, http: aiohttp.ClientSession, kind: str, *, number: int | None = None, key: str = "plain",
        headers: dict[str, str] | None = None, leave: bool = False, expect: int = 200, **fields: Any,
    ) -> None:  # fmt: skip
        """Send one request and remember what came; `expect` is a refusal that is as it should be."""
        number = next(self._numbers) if number is None else number
        body = {
            "model": f"main/{self.models[0]}",
            "messages": [{"role": "user", "content": f"Answer #{number}"}],
        } | fields
        sent = {"authorization": f"Bearer {self.keys[key]['key']}", **(headers or {})}
        at, request_id, status, whole, problem = time.monotonic() - self.started, "", 0, False, ""
        try:
            async with http.post("/v1/chat/completions", json=body, headers=sent) as answer:
                status, request_id = answer.status, answer.headers.get("x-request-id", "")
                if leave and status == 200:
                    await answer.content.readany()
                    answer.close()
                else:
                    text = await answer.read()
                    whole = status != 200 or not fields.get("stream") or text.endswith(b"data: [DONE]\n\n")
                    if status not in (200, expect) or (status == 200 and expect in (400, 404)):
                        problem = f"{status} {text[:300].decode(errors='replace')}"
                    elif not whole and b'"upstream_interrupted"' not in text:
                        problem = f"the stream ended with {text[-200:].decode(errors='replace')}"
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            problem = f"{type(error).__name__}: {error}"
        self.answers.append(Answer(number, kind, at, request_id, status, whole, problem))


Ask = Callable[[Traffic, aiohttp.ClientSession, str], Awaitable[None]]
# By name: how often of a hundred, and what.
KINDS: dict[str, tuple[int, Ask]] = {
    "whole": (27, Traffic.whole),
    "streamed": (19, Traffic.streamed),
    "auto": (10, Traffic.automatic),
    "given up": (8, Traffic.given_up),
    "untold": (6, Traffic.untold),
    "repeated": (12, Traffic.repeated),
    "retried": (4, Traffic.retried),
    "unknown model": (3, Traffic.unknown),
    "malformed": (2, Traffic.malformed),
    "budgeted": (5, Traffic.budgeted),
    "limited": (4, Traffic.limited),
}
