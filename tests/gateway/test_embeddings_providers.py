"""`/v1/embeddings` passed on to providers."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.gateway.budgets import Payer
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene

PATH = "/v1/embeddings"


def post(scene: Scene, path: str = PATH, **body: Any) -> httpx.Response:
    return scene.http.post(path, json={"model": scene.model, **body})


def test_a_providers_answer_passes_as_it_came(scene: Scene) -> None:
    answer = post(scene, input=["a", "b"], dimensions=2, user="somebody", custom={"x": 1}, truncate=True)
    assert answer.status_code == 200, answer.text
    assert [each["embedding"] for each in answer.json()["data"]] == [[0.6, 0.8], [0.6, 0.8]]
    sent = scene.received()[0]
    assert sent["path"] == PATH
    # The gateway's own fields stay here.
    assert sent["body"] == {
        "model": scene.model, "input": ["a", "b"], "dimensions": 2, "user": "somebody", "custom": {"x": 1},
    }  # fmt: skip
    record = scene.record(answer)
    assert (record["provider"], record["prompt_tokens"], record["completion_tokens"]) == (scene.name, 14, 0)
    assert record["usage_estimated"] is False


def test_token_ids_pass(scene: Scene) -> None:
    assert len(post(scene, input=[[1, 2], [3]]).json()["data"]) == 2
    assert len(post(scene, input=[1, 2, 3]).json()["data"]) == 1


def test_the_simple_endpoint_asks_providers_too(scene: Scene) -> None:
    answer = post(scene, f"{PATH}/text", texts=["a", "b"])
    assert answer.json() == {
        "embeddings": [[pytest.approx(0.6), pytest.approx(0.8)]] * 2, "model": scene.model, "dimensions": 2,
    }  # fmt: skip
    assert scene.received()[0]["body"] == {
        "model": scene.model, "input": ["a", "b"], "encoding_format": "float",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "", "<html>no</html>", "[]", '{"choices": []}', '{"data": []}', '{"data": [{"embedding": []}]}',
        '{"data": [{"embedding": [0.1]}, {"embedding": [0.1]}]}',
    ],
)  # fmt: skip
def test_what_is_no_answer_is_not_passed_on(scene: Scene, body: str) -> None:
    scene.behave({"body": body})
    answer = post(scene, input="a")
    assert answer.status_code == 503, answer.text
    assert scene.record(answer)["error_code"] == "no_available_model"


def test_an_answer_without_usage_is_estimated(scene: Scene) -> None:
    scene.behave({"body": '{"object":"list","data":[{"index":0,"embedding":[0.6,0.8]}]}'})
    record = scene.record(post(scene, input="What is counted here?"))
    assert record["usage_estimated"] is True
    assert record["prompt_tokens"] > 3


def test_a_long_answer_is_read_at_its_ends_alone(scene: Scene) -> None:
    vector = ",".join(["0.0123456789"] * 1536)
    data = ",".join(f'{{"object":"embedding","index":{index},"embedding":[{vector}]}}' for index in range(100))
    body = f'{{"object":"list","data":[{data}],"model":"m","usage":{{"prompt_tokens":321,"total_tokens":321}}}}'
    scene.behave({"body": body})
    answer = post(scene, input=["a"] * 100)
    assert answer.text == body
    assert scene.record(answer)["prompt_tokens"] == 321
    plain = post(scene, f"{PATH}/text", texts=["a"] * 100).json()
    assert (len(plain["embeddings"]), plain["dimensions"]) == (100, 1536)
    assert post(scene, input=["a"] * 99).status_code == 503


def test_a_providers_refusal_is_the_clients_to_read(scene: Scene) -> None:
    scene.behave({"status": 400, "body": '{"error":{"message":"too many","type":"invalid_request_error","code":"c"}}'})
    answer = post(scene, input="a")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "too many")


def test_one_models_vectors_come_from_whichever_provider_is_well(make_scene: MakeScene) -> None:
    scene = make_scene()
    second = scene.add_provider(f"{scene.name}-second")
    scene.behave({"status": 500})
    answer = post(scene, input="a")
    assert answer.headers["x-gateway-provider"] == second["name"] or answer.headers["x-gateway-attempts"] == "1"
    assert answer.status_code == 200, answer.text


def test_a_strict_call_does_not_leave_the_house(make_scene: MakeScene) -> None:
    cloud = make_scene(locality="cloud")
    answer = post(cloud, input="a", privacy_mode="strict")
    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "privacy_mode")
    assert cloud.received() == []


def test_a_kind_without_embeddings_is_501(make_scene: MakeScene) -> None:
    scene = make_scene(kind="tgi")
    answer = post(scene, input="a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "unsupported_by_backend")


@pytest.mark.parametrize(
    ("kind", "model", "path", "header"),
    [
        ("openai", "text-embedding-3-small", "/v1/embeddings", "authorization"),
        ("gemini", "gemini-embedding-001", "/v1beta/openai/embeddings", "authorization"),
        ("azure", "text-embedding-3-large", "/openai/deployments/text-embedding-3-large/embeddings", "api-key"),
    ],
)
def test_each_kind_has_its_own_place_and_price(
    make_scene: MakeScene, kind: str, model: str, path: str, header: str
) -> None:
    scene = make_scene(kind=kind, models=[model])
    scene.model = model
    answer = post(scene, input=["a", "b"], model=f"{scene.name}/{model}")
    assert answer.status_code == 200, answer.text
    [sent] = scene.received()
    assert sent["path"] == path
    assert sent["headers"][header].removeprefix("Bearer ") == f"sk-upstream-{scene.name}-secret"
    record = scene.record(answer)
    assert (record["prompt_tokens"], record["privacy"]) == (14, "cloud")
    assert Decimal(record["cost_usd"]) > 0


def test_a_budget_holds_what_embeddings_may_cost(make_scene: MakeScene, payer: Payer) -> None:
    scene = make_scene(kind="openai", models=["text-embedding-3-small"])
    scene.http.headers["authorization"] = f"Bearer {payer(budget_usd='0.000001')['key']}"
    model = f"{scene.name}/text-embedding-3-small"
    answer = post(scene, input="word " * 5000, model=model)
    assert answer.status_code == 402, answer.text
    assert scene.received() == []
