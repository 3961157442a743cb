"""`model: auto` through the whole gateway: the policy chooses, explain says so before, and the rest are fallbacks."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import CHAT, Scene
from tests.upstream import Upstream

_numbers = itertools.count(1)

HELLO = [{"role": "user", "content": "Hello"}]
PRICES = {"cheap": 1, "fair": 10, "dear": 100}


class Market:
    """Three cloud providers with a model each, which differ in price and quality, and a strict one at home."""

    def __init__(self, make_scene: MakeScene, account: Account, upstream: Upstream) -> None:
        self.number = next(_numbers)
        self.account = account
        self.upstream = upstream
        self.scene: Scene = make_scene(kind="openai", models=[self.model("cheap")])
        self.names = {"cheap": self.scene.name}
        for name in ("fair", "dear"):
            self.names[name] = f"market-{self.number}-{name}"
            self.scene.add_provider(self.names[name], kind="openai", models=[self.model(name)])
        self.policies: list[str] = []
        for name, usd in PRICES.items():
            self.know(name, input_usd_per_mtok=usd, output_usd_per_mtok=usd, quality=0.7 + usd / 1000)

    def model(self, name: str) -> str:
        return f"market-{self.number}-{name}-model"

    def id(self, name: str) -> str:
        return f"{self.names[name]}/{self.model(name)}"

    def know(self, name: str, **facts: Any) -> None:
        self.account.call("PATCH", f"/api/routing/models/{self.id(name)}", 200, **facts)

    def add_local(self) -> None:
        self.names["local"] = f"market-{self.number}-local"
        self.scene.add_provider(self.names["local"], kind="vllm", models=[self.model("local")])

    def policy(self, name: str, **document: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.account.call(
            "POST", "/api/routing/policies", 201, name=f"{name}-{self.number}", **document
        )
        self.policies.append(made["id"])
        return made

    def behave(self, name: str, *behaviours: dict[str, Any]) -> None:
        self.upstream.behave(self.model(name), *behaviours, scene=self.names[name])

    def calls(self, name: str) -> int:
        return len(self.upstream.requests(scene=self.names[name], model=self.model(name)))

    def ask(self, model: str = "auto", **fields: Any) -> httpx.Response:
        return self.scene.post(**{"model": model, "messages": HELLO, "complexity": "simple", **fields})

    def explain(self, model: str = "auto", **fields: Any) -> dict[str, Any]:
        body = {"model": model, "messages": HELLO, "complexity": "simple", **fields}
        answer: dict[str, Any] = self.account.call("POST", "/api/routing/explain", 200, **body)
        return answer

    def close(self) -> None:
        for policy in self.policies:
            self.account.call("DELETE", f"/api/routing/policies/{policy}", 204)


@pytest.fixture
def market(make_scene: MakeScene, account: Account, upstream: Upstream) -> Iterator[Market]:
    made = Market(make_scene, account, upstream)
    yield made
    made.close()


def served_by(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return f"{response.headers['x-gateway-provider']}/{response.headers['x-gateway-model']}"


def until(found: Callable[[], bool], within: float = 5) -> None:
    end = time.monotonic() + within
    while not found():
        assert time.monotonic() < end, f"not after {within} s"
        time.sleep(0.02)


def test_auto_does_what_explain_says(market: Market) -> None:
    explained = market.explain()
    assert [each["provider"] for each in explained["candidates"]] == [
        market.names[name] for name in ("cheap", "fair", "dear")
    ]
    assert explained["chosen"] == market.id("cheap")
    assert explained["fallbacks"] == [market.id("fair"), market.id("dear")]
    assert market.calls("cheap") == 0, "explain sends nothing"
    response = market.ask()
    assert served_by(response) == explained["chosen"]
    assert response.headers["x-gateway-complexity"] == explained["complexity"]
    assert response.headers["x-gateway-attempts"] == "1"


def test_the_record_names_those_that_the_gateway_chose_among(market: Market) -> None:
    policy = market.policy("traced", max_cost_usd="0.000500")
    name = f"policy/{policy['name']}"
    until(lambda: market.ask(name).status_code == 200)
    explained = market.explain(name, max_tokens=100)["candidates"]
    record = market.scene.record(market.ask(name, max_tokens=100))
    assert [(each["provider"], each["model"]) for each in record["candidates"]] == [
        (each["provider"], each["model"]) for each in explained
    ]
    first, *others = record["candidates"]
    assert (first["provider"], first["model"]) == (record["provider"], record["model"])
    assert first["score"] == pytest.approx(explained[0]["score"], abs=0.02)
    assert "excluded_because" not in first
    dear = next(each for each in others if each["provider"] == market.names["dear"])
    assert dear["score"] is None
    assert "more than the policy's $0.0005" in dear["excluded_because"]


def test_where_the_target_was_named_there_are_no_candidates(market: Market) -> None:
    assert market.scene.record(market.ask(market.id("cheap")))["candidates"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_the_rest_in_order_are_the_fallbacks(market: Market, stream: bool) -> None:
    market.behave("cheap", {"status": 500})
    market.behave("fair", {"drop": "before_headers"})
    response = market.ask(stream=stream)
    assert served_by(response) == market.id("dear")
    record = market.scene.record(response)
    assert [attempt["provider"] for attempt in record["attempts"]] == [
        market.names[name] for name in ("cheap", "fair", "dear")
    ]


def test_a_policy_is_named_by_the_request_or_the_key(market: Market) -> None:
    policy = market.policy("best", weights={"quality": 1})
    name = f"policy/{policy['name']}"
    until(lambda: market.ask(name).status_code == 200)
    response = market.ask(name)
    assert served_by(response) == market.id("dear")
    assert served_by(market.ask()) == market.id("cheap")
    record = market.scene.record(response)
    assert (record["policy"], record["policy_version"], record["complexity"]) == (policy["name"], 1, "simple")
    bound = market.account.create_key(policy=policy["name"])
    headers = {"authorization": f"Bearer {bound['key']}"}
    until(lambda: market.scene.http.get("/v1/models", headers=headers).status_code == 200)
    assert served_by(market.scene.post(model="auto", messages=HELLO, headers=headers)) == market.id("dear")
    market.account.call("DELETE", f"/api/keys/gateway/{bound['id']}", 204)


def test_a_change_of_a_policy_is_live_within_five_seconds(market: Market) -> None:
    policy = market.policy("taste", weights={"quality": 1}, default=True)
    until(lambda: served_by(market.ask()) == market.id("dear"))
    market.account.call("PATCH", f"/api/routing/policies/{policy['id']}", 200, weights={"cost": 1})
    until(lambda: served_by(market.ask()) == market.id("cheap"))
    market.account.call("POST", f"/api/routing/policies/{policy['id']}/rollback", 200, version=1)
    until(lambda: served_by(market.ask()) == market.id("dear"))


def test_an_unknown_policy_is_not_found(market: Market) -> None:
    response = market.ask("policy/nobody")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_a_policy_that_nobody_can_satisfy(market: Market) -> None:
    policy = market.policy("dream", min_quality={"simple": 0.99})
    name = f"policy/{policy['name']}"
    until(lambda: market.ask(name).status_code != 404)
    response = market.ask(name)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (503, "no_available_model")
    assert {each["provider"] for each in error["candidates"]} == set(market.names.values())
    assert all("under the policy's 0.99" in each["excluded_because"] for each in error["candidates"])
    explained = market.explain(name)
    assert explained["chosen"] is None
    assert market.scene.record(response)["status"] == 503


def test_a_cap_excludes_the_dear_and_those_without_a_price(market: Market) -> None:
    policy = market.policy("thrift", max_cost_usd="0.000500", weights={"quality": 1})
    name = f"policy/{policy['name']}"
    until(lambda: market.ask(name).status_code == 200)
    assert served_by(market.ask(name, max_tokens=100)) == market.id("cheap")
    market.know("cheap", input_usd_per_mtok=None, output_usd_per_mtok=None)
    until(lambda: market.ask(name, max_tokens=100).status_code == 503)
    reasons = {each["provider"]: each["excluded_because"] for each in market.explain(name)["candidates"]}
    assert "its price is unknown" in reasons[market.names["cheap"]]
    assert "more than the policy's $0.0005 for" in reasons[market.names["dear"]]


def test_what_is_internal_stays_at_home_unless_the_policy_lets_it_go(market: Market) -> None:
    market.add_local()
    response = market.ask(sensitivity="internal", complexity="expert")
    assert served_by(response) == market.id("local")
    market.behave("local", {"status": 500})
    assert market.ask(sensitivity="internal").status_code == 503
    policy = market.policy("open", internal_may_leave=True)
    name = f"policy/{policy['name']}"
    until(lambda: market.ask(name).status_code == 200)
    response = market.ask(name, sensitivity="internal")
    assert served_by(response) == market.id("cheap")


def test_a_named_model_falls_back_to_what_the_policy_names_alone(market: Market) -> None:
    market.behave("cheap", {"status": 500})
    assert market.ask(market.id("cheap")).status_code == 503
    policy = market.policy("net", fallbacks=[market.id("dear")], default=True)
    until(lambda: market.explain(market.id("cheap"))["policy"]["name"] == policy["name"])
    until(lambda: market.ask(market.id("cheap")).status_code == 200)
    assert served_by(market.ask(market.id("cheap"))) == market.id("dear")
    assert market.calls("fair") == 0


def test_a_conversation_stays_on_its_model(market: Market) -> None:
    policy = market.policy("taste", weights={"quality": 1})
    name = f"policy/{policy['name']}"
    until(lambda: market.ask(name).status_code == 200)
    first = [{"role": "user", "content": f"Tell me of number {market.number}."}]
    assert served_by(market.ask(name, messages=first)) == market.id("dear")
    market.know("fair", quality=0.95)
    until(lambda: market.explain(name)["chosen"] == market.id("fair"))
    turn = [*first, {"role": "assistant", "content": "It is odd."}, {"role": "user", "content": "Is it?"}]
    assert served_by(market.ask(name, messages=turn)) == market.id("dear")
    assert served_by(market.ask(name, messages=first)) == market.id("fair"), "a new one is chosen for anew"
    market.ask(name, messages=first)
    market.behave("fair", {"status": 500})
    assert served_by(market.ask(name, messages=turn)) == market.id("dear")


def test_of_replicas_the_idle_one_is_asked(make_scene: MakeScene) -> None:
    scene = make_scene()
    other = f"{scene.name}-b"
    scene.add_provider(other)
    for name in (scene.name, other):
        scene.behave({"interval": 0.5}, provider=name)
    with scene.stream(CHAT) as slow:
        assert slow.status_code == 200
        assert scene.post().status_code == 200
    assert len(scene.received()) == len(scene.received(other)) == 1
