"""Every request is one record, found by the id that its answer carried."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene, payloads_of

FIELDS = {
    "id", "created_at", "status", "provider", "model", "key_id", "stream", "prompt_tokens", "cached_tokens",
    "completion_tokens", "reasoning_tokens", "cost_usd", "latency_ms", "ttft_ms", "cache", "complexity", "privacy",
    "attempts",
}  # fmt: skip


def test_a_row_has_every_field_of_the_contract(scene: Scene) -> None:
    response = scene.post()
    scene.record(response)
    [row] = [row for row in scene.account.requests() if row["id"] == response.headers["x-request-id"]]
    assert set(row) >= FIELDS
    assert (row["status"], row["provider"], row["model"], row["stream"]) == (200, scene.name, scene.model, False)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 3)
    assert Decimal(row["cost_usd"]) == 0
    assert isinstance(row["cost_usd"], str)
    assert row["latency_ms"] >= 0


def test_the_newest_comes_first_and_pages_follow_each_other(scene: Scene) -> None:
    ids = [scene.post().headers["x-request-id"] for _ in range(5)]
    for id_ in ids:
        scene.account.record(id_)
    page = scene.account.http.get("/api/analytics/requests", params={"limit": 3, "model": scene.model}).json()
    rest = scene.account.http.get(
        "/api/analytics/requests", params={"limit": 3, "model": scene.model, "cursor": page["next_cursor"]}
    ).json()
    assert [row["id"] for row in page["data"] + rest["data"]] == ids[::-1]
    assert rest["next_cursor"] is None


def test_a_stream_has_its_time_to_the_first_token(scene: Scene) -> None:
    scene.behave({"first_byte_delay": 0.3, "interval": 0.1})
    with scene.stream() as response:
        response.read()
    record = scene.record(response)
    assert record["stream"] is True
    assert 250 <= record["ttft_ms"] < record["latency_ms"]
    assert record["latency_ms"] >= 600


@pytest.mark.parametrize(
    ("behaviour", "fields", "status"),
    [
        ({}, {}, 200),
        ({"status": 500}, {}, 503),
        ({"status": 401}, {}, 503),
        ({"status": 429}, {}, 429),
        ({"status": 400}, {}, 400),
        ({"body": ""}, {}, 503),
        ({}, {"messages": []}, 400),
        ({}, {"model": "no-such-model"}, 404),
        ({"error_after": 2}, {"stream": True}, 200),
    ],
)
def test_one_record_for_each_request(
    make_scene: MakeScene, behaviour: dict[str, Any], fields: dict[str, Any], status: int
) -> None:
    scene = make_scene()
    scene.behave(behaviour)
    response = scene.post(**fields)
    assert response.status_code == status
    record = scene.record(response)
    assert record["status"] in (status, 502, 503) if fields.get("stream") else record["status"] == status
    rows = [row for row in scene.account.requests(limit=500) if row["id"] == response.headers["x-request-id"]]
    assert len(rows) == 1
    assert bool(record.get("error")) is (status != 200 or "error_after" in behaviour)


def test_the_clients_own_request_id_is_kept_beside_the_gateways(scene: Scene) -> None:
    response = scene.post(headers={"x-request-id": "client-4711"})
    assert response.headers["x-request-id"] != "client-4711"
    assert "client-4711" in scene.record(response).values()


def test_the_clients_metadata_is_kept(scene: Scene) -> None:
    response = scene.post(metadata={"team": "blue"})
    assert scene.record(response)["metadata"] == {"team": "blue"}


def test_every_attempt_is_kept(scene: Scene) -> None:
    scene.behave({"status": 503}, {"drop": "before_headers"}, {})
    record = scene.record(scene.post())
    assert [attempt["status"] for attempt in record["attempts"]] == [503, None, 200]
    assert all(attempt["provider"] == scene.name for attempt in record["attempts"])


def test_no_prompt_and_no_answer_is_kept(scene: Scene) -> None:
    response = scene.post(messages=[{"role": "user", "content": "the-private-prompt"}])
    record = str(scene.record(response))
    assert "the-private-prompt" not in record
    assert "word 0" not in record


def test_another_workspaces_records_do_not_exist(scene: Scene, other_account: Account) -> None:
    id_ = scene.post().headers["x-request-id"]
    scene.account.record(id_)
    assert other_account.http.get(f"/api/analytics/requests/{id_}").status_code == 404
    assert id_ not in other_account.http.get("/api/analytics/requests").text


def test_the_key_knows_that_it_was_used(scene: Scene) -> None:
    made = scene.account.create_key(name="used")
    end = time.monotonic() + 8
    while time.monotonic() < end:
        httpx.post(
            f"{scene.url}/v1/chat/completions", json=scene.body(), headers={"x-api-key": made["key"]}, trust_env=False
        )
        [key] = [key for key in scene.account.call("GET", "/api/keys/gateway", 200)["data"] if key["id"] == made["id"]]
        if key["last_used_at"]:
            break
        time.sleep(0.2)
    assert key["last_used_at"]


def test_many_at_once_are_all_recorded(scene: Scene) -> None:
    async def burst() -> list[str]:
        async with httpx.AsyncClient(
            base_url=scene.url, headers=dict(scene.http.headers), timeout=30, trust_env=False
        ) as client:
            tasks = [client.post("/v1/chat/completions", json=scene.body(stream=n % 2 == 0)) for n in range(200)]
            return [response.headers["x-request-id"] for response in await asyncio.gather(*tasks)]

    ids = asyncio.run(burst())
    assert len(set(ids)) == 200
    for id_ in ids:
        scene.account.record(id_)
    rows = scene.account.requests(limit=500, model=scene.model)
    assert sorted(row["id"] for row in rows) == sorted(ids)


def test_a_stream_costs_what_its_usage_says(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai", models=["gpt-4o"])
    scene.upstream.behave(
        "gpt-4o", {"usage_object": {"prompt_tokens": 1000, "completion_tokens": 500}}, scene=scene.name
    )
    with scene.stream(model=f"{scene.name}/gpt-4o") as response:
        assert payloads_of(response.read())[-1] == "[DONE]"
    assert Decimal(scene.record(response)["cost_usd"]) == (1000 * Decimal("2.5") + 500 * 10) / 1_000_000


def test_a_new_price_is_of_later_requests_and_never_of_earlier_ones(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai", models=["gpt-4o"])
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    scene.upstream.behave("gpt-4o", {"usage_object": usage}, scene=scene.name)
    name = f"{scene.name}/gpt-4o"

    def ask() -> dict[str, Any]:
        return scene.record(scene.post(model=name, temperature=1))

    def spent() -> Decimal:
        answer = scene.account.http.get(
            "/api/analytics/cost-breakdown", params={"group_by": "model", "provider": scene.name}
        )
        return Decimal(answer.json()["total"]["cost_usd"])

    before = ask()
    old_cost = (1000 * Decimal("2.5") + 500 * 10) / 1_000_000
    assert (Decimal(before["cost_usd"]), spent()) == (old_cost, old_cost)

    prices = {"input_usd_per_mtok": "100", "output_usd_per_mtok": "200"}
    scene.account.call("PATCH", f"/api/routing/models/{name}", 200, **prices)
    new_cost = (1000 * Decimal(100) + 500 * 200) / 1_000_000
    end = time.monotonic() + 5
    while Decimal((after := ask())["cost_usd"]) == old_cost:
        assert time.monotonic() < end, "the new price is not live"
    assert Decimal(after["cost_usd"]) == new_cost
    assert after["price"]["source"] == "workspace"

    again = scene.account.record(before["id"])
    unchanging = ("cost_usd", "price", "cost_lines", "prompt_tokens", "completion_tokens")
    assert {field: again[field] for field in unchanging} == {field: before[field] for field in unchanging}
    records = scene.account.requests(limit=500, provider=scene.name)
    assert spent() == sum(Decimal(row["cost_usd"]) for row in records)
    assert sum(Decimal(row["cost_usd"]) == new_cost for row in records) == 1
