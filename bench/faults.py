"""What failing providers cost the gateway's clients: a real gateway, and providers that fail as they are told.

Three targets: one answers 30 % of its calls with an error, one leaves 5 % of them without an answer. They are replicas
of one model, or models among which `auto` chooses, or the failing one is named and the others are its fallbacks.
Then a target that every request asks first dies, in several ways, and comes back.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.gateway import Gateway
from tests.upstream import Upstream

REQUESTS, CLIENTS = 2_000, 8
# Seconds that the gateway waits for a first byte here; by default it is two minutes.
FIRST_BYTE = 1.0
FAILING, HANGING = 0.30, 0.05
HANG = {"delay": 3600.0}
# How long a target stays dead, so that its cool-down has grown to its limit.
OUTAGE = 15.0
MESSAGES = [{"role": "user", "content": "Say something."}]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `must` bounds it from above, or from below."""

    what: str
    value: float
    must: float
    aim: float | None
    unit: str = ""
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is as it must be."""
        return self.value >= self.must if self.at_least else self.value <= self.must


class Stage:
    """An account at the gateway at `url`, and the upstream whose scenes are its providers."""

    def __init__(self, url: str, upstream: Upstream, name: str, fallbacks: list[str]) -> None:
        self.url, self.upstream, self.name = url, upstream, name
        self.api = httpx.Client(base_url=url, timeout=30, trust_env=False)
        account = self._call("/api/auth/signup", email=f"{name}@example.com", password="a slow brown fox")
        self.api.headers["authorization"] = f"Bearer {account['access_token']}"
        self.key = self._call("/api/keys/gateway", name=name)["key"]
        timeouts = {"connect": FIRST_BYTE, "first_byte": FIRST_BYTE, "idle": 5, "total": 60}
        self._call("/api/routing/policies", name="hasty", default=True, fallbacks=fallbacks, timeouts=timeouts)

    def _call(self, path: str, **fields: Any) -> dict[str, Any]:
        answer = self.api.post(path, json=fields)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def provider(self, name: str, model: str, url: str = "") -> None:
        """Add a provider that serves `model`: a scene of the upstream, or at `url`."""
        self.upstream.serve([model], scene=name)
        self._call(
            "/api/keys/providers", kind="openai_compatible", name=name, models=[model], api_key="sk-faults",
            base_url=url or self.upstream.base_url(name),
        )  # fmt: skip
        self._wait_until_served(f"{name}/{model}")

    def _wait_until_served(self, model: str) -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = httpx.get(f"{self.url}/v1/models", headers=self.headers, trust_env=False)
            if model in [row["id"] for row in found.json().get("data", ())]:
                return
            time.sleep(0.05)
        raise RuntimeError(f"the gateway does not serve {model}")

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def ask(self, model: str) -> httpx.Response:
        """One request, after which its connection is closed."""
        body = {"model": model, "messages": MESSAGES}
        return httpx.post(
            f"{self.url}/v1/chat/completions", json=body, headers=self.headers, timeout=60, trust_env=False
        )

    async def load(
        self, model: str, requests: int, clients: int, done: Callable[[httpx.Response], None] = lambda answer: None
    ) -> int:
        """How many of so many requests, by so many clients at a time, are answered well."""
        left = iter(range(requests))
        well = 0
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=60, trust_env=False) as http:

            async def client() -> None:
                nonlocal well
                for _ in left:
                    answer = await http.post("/v1/chat/completions", json={"model": model, "messages": MESSAGES})
                    well += answer.status_code == 200
                    done(answer)

            await asyncio.gather(*(client() for _ in range(clients)))
        return well


def three_targets(stage: Stage, how: str, models: tuple[str, str, str], asked_for: str) -> list[Figure]:
    """Success and calls per request of the failing, the hanging and the well target, asked for by a name."""
    chance = random.Random(4)  # the same faults in each run
    scenes = [f"{stage.name}-{what}" for what in ("failing", "hanging", "well")]
    for scene, model in zip(scenes, models, strict=True):
        stage.provider(scene, model)
    failing = [{"status": 500} if chance.random() < FAILING else {} for _ in range(1000)]
    hanging = [HANG if chance.random() < HANGING else {} for _ in range(1000)]
    stage.upstream.behave(models[0], *failing, scene=scenes[0], cycle=True)
    stage.upstream.behave(models[1], *hanging, scene=scenes[1], cycle=True)
    well = asyncio.run(stage.load(asked_for, REQUESTS, CLIENTS))
    calls = sum(len(stage.upstream.requests(scene=scene, path="/chat/completions")) for scene in scenes)
    what = f"three targets, one failing {FAILING:.0%}, one hanging {HANGING:.0%} ({how})"
    return [
        Figure(f"{what}: success over {REQUESTS:,} requests", 100 * well / REQUESTS, 99.9, 100, " %", at_least=True),
        Figure(f"{what}: upstream calls per request", calls / REQUESTS, 1.2, 1.1),
    ]


def dying_target(
    stage: Stage, how: str, model: str, first: str, die: Callable[[], None], revive: Callable[[], None]
) -> list[Figure]:
    """How many requests for `model` feel that the provider `first` died, and when it is asked again once it is back."""
    felt, failed = 0, 0
    for _ in range(30):
        assert stage.ask(model).headers["x-gateway-provider"] == first
    die()
    dead_since = time.monotonic()
    opened = False
    while time.monotonic() - dead_since < OUTAGE:
        answer = stage.ask(model)
        failed += answer.status_code != 200
        opened = opened or answer.headers["x-gateway-attempts"] == "1"
        felt += not opened
        time.sleep(0.01)
    revive()
    back_since = time.monotonic()
    while stage.ask(model).headers["x-gateway-provider"] != first and time.monotonic() - back_since < 60:
        time.sleep(0.01)
    back = time.monotonic() - back_since
    return [
        Figure(f"a target that dies ({how}): requests that feel it before the breaker opens", felt, 5, None),
        Figure(f"a target that dies ({how}): requests that fail", failed, 0, None),
        Figure(f"a target that dies ({how}): time until traffic returns", back, 10, None, " s"),
    ]


def told_to_die(stage: Stage, how: str, asked_for: str, first: str, model: str, fault: dict[str, Any]) -> list[Figure]:
    """The figures of a scene of the upstream that is told to die."""

    def behave(behaviour: dict[str, Any]) -> None:
        stage.upstream.behave(model, behaviour, scene=first)

    return dying_target(stage, how, asked_for, first, lambda: behave(fault), lambda: behave({}))


def measure(url: str, upstream: Upstream) -> Iterator[Figure]:
    """Every figure, one after the other, each with an account of its own."""
    replicas = Stage(url, upstream, "replicas", [])
    yield from three_targets(replicas, "replicas", ("m", "m", "m"), "m")
    yield from three_targets(Stage(url, upstream, "auto", []), "auto", ("a", "b", "c"), "auto")
    named = Stage(url, upstream, "named", ["b", "c"])
    yield from three_targets(named, "the failing one named, with fallbacks", ("a", "b", "c"), "named-failing/a")
    stage = Stage(url, upstream, "dying", ["spare"])
    stage.provider("spare", "spare")
    for how, fault in (("errors", {"status": 503}), ("hangs", HANG), ("drops", {"drop": "before_headers"})):
        stage.provider(f"{how}-first", "m")
        yield from told_to_die(stage, how, f"{how}-first/m", f"{how}-first", "m", fault)
    yield from _refusing(stage)
    for asked_for, models in (("m", ("m", "m")), ("auto", ("a", "b"))):
        stage = Stage(url, upstream, f"dying-{asked_for}", [])
        served = {f"{asked_for}-{number}": model for number, model in enumerate(models)}
        for provider, model in served.items():
            stage.provider(provider, model)
        first = stage.ask(asked_for).headers["x-gateway-provider"]
        how = "errors, of two replicas" if asked_for == "m" else "errors, auto"
        yield from told_to_die(stage, how, asked_for, first, served[first], {"status": 503})


def _refusing(stage: Stage) -> Iterator[Figure]:
    """A target whose process is gone, so that its port refuses."""
    upstreams = [Upstream()]
    try:
        port, first = upstreams[0].port, "refuses-first"
        stage.provider(first, "m", upstreams[0].url)
        yield from dying_target(
            stage, "refuses", f"{first}/m", first, upstreams[0].close, lambda: upstreams.append(Upstream(port))
        )
    finally:
        upstreams[-1].close()


@contextmanager
def running_gateway(upstream: Upstream) -> Iterator[str]:
    """The URL of a gateway with nothing in it, in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gw-faults-"))
    (folder / "data").mkdir()
    gateway = Gateway(folder / "data", upstream.port)
    try:
        gateway.start()
        yield f"http://127.0.0.1:{gateway.port}"
    except httpx.HTTPStatusError as error:
        raise RuntimeError(f"{error}: {error.response.text}\n{gateway.log()}") from error
    finally:
        gateway.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run() -> int:
    """Print the table. 1 when a figure is not as it must be."""
    kept = True
    with Upstream() as upstream, running_gateway(upstream) as url:
        for figure in measure(url, upstream):
            kept = kept and figure.kept
            aim = "" if figure.aim is None else f", aim {figure.aim:g}"
            bound = f"must {'≥' if figure.at_least else '≤'} {figure.must:g}{aim}"
            verdict = "ok" if figure.kept else "OVER"
            print(f"{figure.what}: {figure.value:.4g}{figure.unit}  ({bound})  {verdict}", flush=True)
    return 0 if kept else 1
