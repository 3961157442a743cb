"""`/v1/embeddings` by the gateway's own model, as OpenAI's SDK and curl see it."""

import base64
import math
import struct
import time
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.budgets import Payer
from tests.gateway.process import Process
from tests.gateway.scene import Scene

PATH = "/v1/embeddings"
MODEL = "all-MiniLM-L6-v2"
# Seconds that a worker may take until its model is there, beside other tests.
PATIENCE = 240

pytestmark = pytest.mark.timeout(PATIENCE + 60)

QUESTION, PARAPHRASE, OTHER = "How do I reset my password?", "I forgot my password, what now?", "The weather is nice."


@pytest.fixture(scope="module", autouse=True)
def _worker(gateway: Process, key: str) -> None:
    """The worker that the supervisor starts reads its libraries and its model first."""
    end = time.monotonic() + PATIENCE
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=PATIENCE, trust_env=False) as http:
        while (answer := http.post(PATH, json={"input": "a", "model": MODEL})).status_code != 200:
            assert time.monotonic() < end, answer.text
            time.sleep(0.5)


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def post(scene: Scene, path: str = PATH, **body: Any) -> httpx.Response:
    return scene.http.post(path, json=body, timeout=60)


def refused(answer: httpx.Response, status: int, param: str | None = None) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    if param is not None:
        assert error["param"] == param, error
    message: str = error["message"]
    return message


def test_the_sdk_gets_equal_vectors_as_numbers_and_in_base64(scene: Scene) -> None:
    texts = [QUESTION, PARAPHRASE, OTHER]
    found = scene.sdk.embeddings.create(model=MODEL, input=texts)  # it asks for base64
    plain = scene.sdk.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    assert [each.index for each in found.data] == [0, 1, 2]
    assert [each.embedding for each in found.data] == [each.embedding for each in plain.data]
    assert len(found.data[0].embedding) == 384
    assert math.hypot(*found.data[0].embedding) == pytest.approx(1, abs=1e-5)
    near = cosine(found.data[0].embedding, found.data[1].embedding)
    far = cosine(found.data[0].embedding, found.data[2].embedding)
    assert near > 0.6 > 0.3 > far
    assert found.model == MODEL
    assert found.usage.prompt_tokens == found.usage.total_tokens > 15


def test_base64_is_float32_little_endian(scene: Scene) -> None:
    numbers = post(scene, input=QUESTION, model=MODEL).json()["data"][0]["embedding"]
    packed = post(scene, input=QUESTION, model=MODEL, encoding_format="base64").json()["data"][0]["embedding"]
    assert list(struct.unpack("<384f", base64.b64decode(packed))) == numbers


def test_it_says_what_it_did_and_enters_it_in_the_ledger(scene: Scene) -> None:
    answer = post(scene, input=[QUESTION, OTHER], model=MODEL)
    said = {name: answer.headers[f"x-gateway-{name}"] for name in ("provider", "model", "privacy", "cost-usd", "cache")}
    assert said == {"provider": "gateway", "model": MODEL, "privacy": "local", "cost-usd": "0", "cache": "off"}
    record = scene.record(answer)
    assert (record["provider"], record["model"], record["privacy"]) == ("gateway", MODEL, "local")
    assert record["prompt_tokens"] == answer.json()["usage"]["prompt_tokens"]
    assert (record["completion_tokens"], record["cost_usd"], record["usage_estimated"]) == (0, "0", False)
    assert record["endpoint"] == PATH


@pytest.mark.parametrize("model", ["auto", "", None])
def test_without_a_name_it_is_the_installations_model(scene: Scene, model: str | None) -> None:
    answer = post(scene, input=QUESTION, **({} if model is None else {"model": model}))
    assert answer.status_code == 200, answer.text
    # bge-m3 is not here, so the fallback stands in, and says so.
    assert answer.json()["model"] == answer.headers["x-gateway-model"] == MODEL
    assert scene.record(answer)["model"] == MODEL


@pytest.mark.parametrize("name", [f"gateway/{MODEL}", f"sentence-transformers/{MODEL}", MODEL.lower()])
def test_a_model_has_its_usual_names(scene: Scene, name: str) -> None:
    assert post(scene, input=QUESTION, model=name).json()["model"] == MODEL


def test_token_ids_are_texts_too(scene: Scene) -> None:
    # [CLS], "hello", "world", [SEP] are added by the model; these are the ids of the words.
    ids = [7592, 2088]
    answer = post(scene, input=[ids, ids], model=MODEL)
    assert answer.status_code == 200, answer.text
    vectors = [each["embedding"] for each in answer.json()["data"]]
    assert cosine(vectors[0], post(scene, input="hello world", model=MODEL).json()["data"][0]["embedding"]) > 0.999
    assert cosine(*vectors) > 0.9999
    assert len(post(scene, input=ids, model=MODEL).json()["data"]) == 1


def test_what_is_too_long_is_cut_only_when_asked(scene: Scene) -> None:
    long = "word " * 400
    message = refused(post(scene, input=["short", long], model=MODEL), 400, "input")
    assert "256" in message
    assert "number 1" in message
    assert post(scene, input=["short", long], model=MODEL, truncate=True).status_code == 200


def test_a_call_may_have_2048_texts(scene: Scene) -> None:
    texts = [f"text number {number}" for number in range(2048)]
    answer = post(scene, input=texts, model=MODEL)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [each["index"] for each in data] == list(range(2048))
    assert scene.record(answer)["prompt_tokens"] == answer.json()["usage"]["prompt_tokens"]
    plain = post(scene, f"{PATH}/text", texts=texts[2000:], model=MODEL).json()
    assert plain["embeddings"][47] == pytest.approx(data[2047]["embedding"], abs=1e-5)
    refused(post(scene, input=[*texts, "one more"], model=MODEL), 400, "input")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [[1], ["a"]]}, "input[1]"),
        ({"input": [-1]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": [999_999_999]}, "input"),
        ({"input": "a", "stream": True}, "stream"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "384"}, "dimensions"),
        ({"input": "a", "truncate": "yes"}, "truncate"),
        ({"input": "a", "input_type": "poem"}, "input_type"),
        ({"input": "a", "rag": {"library": "default"}}, "rag"),
    ],
)
def test_what_is_no_request_is_refused_by_name(scene: Scene, fields: dict[str, Any], param: str) -> None:
    refused(post(scene, model=MODEL, **fields), 400, param)


def test_other_dimensions_are_refused_with_those_there_are(scene: Scene) -> None:
    assert "384" in refused(post(scene, input="a", model=MODEL, dimensions=100), 400, "dimensions")
    assert post(scene, input="a", model=MODEL, dimensions=384).status_code == 200


@pytest.mark.parametrize(
    "model", ["gateway/no-such-model", "no-such-model", "gateway/cross-encoder/ms-marco-MiniLM-L6-v2"]
)
def test_an_unknown_model_is_404(scene: Scene, model: str) -> None:
    refused(post(scene, input="a", model=model), 404, "model")


def test_weights_that_are_not_here_are_503_in_words(scene: Scene) -> None:
    answer = post(scene, input="a", model="gateway/intfloat/e5-large-v2")
    assert "intfloat/e5-large-v2" in refused(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_a_strict_call_stays_in_the_house(scene: Scene) -> None:
    assert post(scene, input="a", privacy_mode="strict").status_code == 200
    assert post(scene, input="a", sensitivity="confidential", model=MODEL).status_code == 200


def test_a_key_may_use_what_it_lists(scene: Scene, account: Account) -> None:
    narrow = account.create_key(name="narrow", allowed_models=["gpt-4o"])
    scene.http.headers["authorization"] = f"Bearer {narrow['key']}"
    refused(post(scene, input="a", model=MODEL), 403, "model")
    refused(post(scene, input="a"), 403, "model")
    assert MODEL not in scene.http.get("/v1/models").text
    assert scene.http.get(f"{PATH}/models").json()["data"] == []


def test_limits_hold(scene: Scene, account: Account) -> None:
    limited = account.create_key(name="limited", rate_limit_requests=1)
    scene.http.headers["authorization"] = f"Bearer {limited['key']}"
    assert post(scene, input="a", model=MODEL).headers["x-ratelimit-remaining-requests"] == "0"
    answer = post(scene, f"{PATH}/text", text="a", model=MODEL)
    refused(answer, 429)
    assert int(answer.headers["retry-after"]) > 0


def test_a_key_without_the_scope_and_a_stranger_are_refused(scene: Scene, account: Account) -> None:
    reader = account.create_key(name="reader", scopes=["documents:read"])
    for path in (PATH, f"{PATH}/text", f"{PATH}/image", f"{PATH}/audio"):
        scene.http.headers["authorization"] = f"Bearer {reader['key']}"
        refused(post(scene, path, input="a", text="a"), 403)
        scene.http.headers["authorization"] = "Bearer gw_nobody"
        refused(post(scene, path, input="a", text="a"), 401)
    refused(scene.http.get(f"{PATH}/models"), 401)
    assert scene.http.get(PATH).status_code == 405


def test_a_request_may_ask_for_the_cache(scene: Scene) -> None:
    text = f"asked twice at {time.time_ns()}"
    first, again = (post(scene, input=text, model=MODEL, cache="on") for _ in range(2))
    assert (first.headers["x-gateway-cache"], again.headers["x-gateway-cache"]) == ("miss", "hit")
    assert again.content == first.content
    assert again.headers["x-gateway-model"] == MODEL
    one, two = (post(scene, f"{PATH}/text", text=text, cache="on") for _ in range(2))
    assert two.headers["x-gateway-cache"] == "hit"
    assert two.json() == one.json()


def test_an_idempotency_key_gets_the_first_answer(scene: Scene) -> None:
    headers = {"idempotency-key": f"embed-{time.time_ns()}"}
    body = {"input": "once", "model": MODEL}
    first, again = (scene.http.post(PATH, json=body, headers=headers) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


def test_the_simple_endpoint_takes_a_text_or_texts(scene: Scene) -> None:
    one = post(scene, f"{PATH}/text", text=QUESTION).json()
    assert (len(one["embeddings"]), one["model"], one["dimensions"]) == (1, MODEL, 384)
    two = post(scene, f"{PATH}/text", texts=[QUESTION, OTHER], normalize=False, model=MODEL).json()
    assert len(two["embeddings"]) == 2
    assert cosine(two["embeddings"][0], one["embeddings"][0]) > 0.9999


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "text"),
        ({"text": "a", "texts": ["a"]}, "text"),
        ({"text": ""}, "text"),
        ({"text": 5}, "text"),
        ({"texts": []}, "texts"),
        ({"texts": ["a", ""]}, "texts[1]"),
        ({"texts": [1]}, "texts"),
        ({"text": "a", "normalize": "yes"}, "normalize"),
        ({"text": "a", "model": 5}, "model"),
        ({"text": "a", "temperature": 0}, "temperature"),
    ],
)
def test_the_simple_endpoint_names_what_is_wrong(scene: Scene, fields: dict[str, Any], param: str) -> None:
    refused(post(scene, f"{PATH}/text", **fields), 400, param)


def test_the_simple_endpoint_names_its_own_field_when_the_model_refuses(scene: Scene) -> None:
    long = "word " * 400
    message = refused(post(scene, f"{PATH}/text", text=long, model=MODEL), 400, "text")
    assert message.startswith("text: has 402 tokens, and the model takes 256.")
    message = refused(post(scene, f"{PATH}/text", texts=["short", long], model=MODEL), 400, "texts")
    assert message.startswith("texts: number 1 has 402 tokens")
    assert refused(post(scene, input=long, model=MODEL), 400, "input").startswith("input: number 0 has 402 tokens")


def test_what_cannot_fit_is_refused_before_all_of_it_is_counted(scene: Scene) -> None:
    message = refused(post(scene, input="word " * 3_000_000, model=MODEL), 400, "input")
    assert "number 0 has more than 200002 tokens" in message


def test_the_models_are_listed(scene: Scene) -> None:
    rows = {row["id"]: row for row in scene.http.get(f"{PATH}/models").json()["data"]}
    assert rows[MODEL]["modality"] == "text"
    assert rows[MODEL]["dimensions"] == [384]
    assert (rows[MODEL]["loaded"], rows[MODEL]["default"]) == (True, True)
    assert rows[MODEL]["fallback_for"] == "BAAI/bge-m3"
    assert rows["BAAI/bge-m3"]["available"] is False
    assert {row["modality"] for row in rows.values()} >= {"text", "image", "audio"}
    ids = [row["id"] for row in scene.http.get("/v1/models").json()["data"]]
    assert {MODEL, f"gateway/{MODEL}"} <= set(ids)
    assert "BAAI/bge-m3" not in ids
    assert scene.http.get(f"/v1/models/{MODEL}").json()["owned_by"] == "gateway"


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_files_that_are_none_are_refused(scene: Scene, kind: str) -> None:
    path = f"{PATH}/{kind}"
    assert scene.http.post(path, json={"file": "a"}).json()["error"]["param"] == "file"
    assert scene.http.post(path, data={"model": "auto"}, files={}).status_code == 400
    for files in ({"file": ("a.png", b"")}, [("file", ("a", b"1")), ("file", ("b", b"2"))]):
        refused(scene.http.post(path, files=files), 400, "file")
    refused(scene.http.post(path, files={"file": ("a", b"junk")}, data={"prompt": "a"}), 400, "prompt")
    refused(scene.http.post(path, files={"file": ("a", b"junk")}, data={"normalize": "maybe"}), 400, "normalize")
    refused(scene.http.post(path, files={"file": ("a", b"junk")}, data={"model": MODEL}), 404, "model")
    # The installation's models for these are not on this machine.
    answer = scene.http.post(path, files={"file": ("a", b"junk")}, timeout=60)
    refused(answer, 503)
    assert answer.headers["x-gateway-provider"] == "gateway"
    assert scene.record(answer)["status"] == 503


def test_a_chat_cannot_be_asked_of_an_embedding_model(scene: Scene) -> None:
    refused(scene.post(model=f"gateway/{MODEL}"), 404, "model")


def test_a_budget_is_not_touched_by_what_costs_nothing(scene: Scene, payer: Payer) -> None:
    scene.http.headers["authorization"] = f"Bearer {payer(budget_usd='0.000001')['key']}"
    assert post(scene, input="word " * 100, model=MODEL).status_code == 200


def test_a_workspace_without_a_provider_has_embeddings(gateway: Process, other_account: Account) -> None:
    headers = {"authorization": f"Bearer {other_account.create_key()['key']}"}
    body = {"input": QUESTION}
    answer = httpx.post(f"{gateway.url}{PATH}", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == MODEL
