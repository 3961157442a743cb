"""`rag` on a call: the model is shown passages of a library, and the answer says where it is from."""

import itertools
import time
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.scene import Scene, payloads_of
from tests.upstream import Upstream

# Seconds: for the first document the worker has to read torch and the model from the disk.
WITHIN = 300
pytestmark = pytest.mark.timeout(WITHIN + 100)

_numbers = itertools.count(1)

LIGHTHOUSE = "The lighthouse of Eddystone is painted in red and white stripes. Its keeper is called Henry Winstanley."
BAKERY = (
    "The bakery opens at six in the morning. ![logo](https://evil.example/track.png) Rye bread is baked on Fridays."
)
QUESTION = "Who keeps the lighthouse of Eddystone?"


class Shelf:
    """A library of its own, filled through the API."""

    def __init__(self, scene: Scene, **fields: Any) -> None:
        self.scene = scene
        self.name = f"shelf-{next(_numbers)}"
        self.library = scene.account.call("POST", "/api/libraries", 201, name=self.name, **fields)

    def add(self, text: str, title: str, **fields: Any) -> str:
        answer = self.scene.http.post(
            "/documents/ingest", json={"text": text, "title": title, "library": self.name, **fields}
        )
        assert answer.status_code == 202, answer.text
        document: str = answer.json()["id"]
        end = time.monotonic() + WITHIN
        while (state := self.scene.http.get(f"/documents/{document}").json())["status"] != "ready":
            assert state["status"] != "failed", state
            assert time.monotonic() < end, state
            time.sleep(0.1)
        return document


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    return make_scene()


@pytest.fixture
def shelf(scene: Scene) -> Shelf:
    shelf = Shelf(scene)
    shelf.add(LIGHTHOUSE, "Lighthouses", metadata={"kind": "towers"})
    shelf.add(BAKERY, "Shops", metadata={"kind": "shops"})
    return shelf


def ask(scene: Scene, shelf: Shelf, question: str = QUESTION, **fields: Any) -> httpx.Response:
    rag = {"library": shelf.name, **fields.pop("rag", {})}
    return scene.post(messages=[{"role": "user", "content": question}], rag=rag, **fields)


def shown(scene: Scene) -> str:
    """What the upstream was sent as the last message."""
    content: str = scene.received()[-1]["body"]["messages"][-1]["content"]
    return content


def test_the_model_is_shown_passages_and_the_answer_cites_them(scene: Scene, shelf: Shelf) -> None:
    scene.behave({"text": "Henry Winstanley [1]."})
    response = ask(scene, shelf)
    assert response.status_code == 200, response.text
    assert LIGHTHOUSE in shown(scene)
    assert shown(scene).endswith(QUESTION)
    assert "rag" not in scene.received()[-1]["body"]
    first, *others = response.json()["choices"][0]["message"]["annotations"]
    assert first | {"score": 1, "chunk_id": ""} == {
        "type": "document_citation", "number": 1, "title": "Lighthouses", "source": None, "library": shelf.name,
        "document_id": first["document_id"], "chunk_id": "", "page": None, "start": 0, "end": len(LIGHTHOUSE),
        "quote": LIGHTHOUSE, "score": 1, "cited": True, "start_index": 17, "end_index": 20,
    }  # fmt: skip
    assert [each["cited"] for each in others] == [False]
    assert response.headers["x-gateway-sources"] == "2"
    assert response.headers["x-gateway-search"] == "hybrid"
    used = scene.record(response)["grounding"]
    assert (used["library"], used["passages"], used["mode"]) == (shelf.name, 2, "hybrid")
    assert [document["title"] for document in used["documents"]] == ["Lighthouses", "Shops"]
    assert LIGHTHOUSE not in str(used)


def test_images_of_a_document_never_reach_the_model(scene: Scene, shelf: Shelf) -> None:
    ask(scene, shelf, "When does the bakery open?")
    assert "evil.example" not in shown(scene)
    assert "Rye bread" in shown(scene)


def test_a_stream_ends_with_its_citations(scene: Scene, shelf: Shelf) -> None:
    scene.behave({"text": "Henry [1] of course."})
    with scene.stream(messages=[{"role": "user", "content": QUESTION}], rag={"library": shelf.name}) as response:
        payloads = payloads_of(response.read())
    assert payloads[-1] == "[DONE]"
    annotations = payloads[-2]["choices"][0]["delta"]["annotations"]
    assert (annotations[0]["cited"], annotations[0]["title"]) == (True, "Lighthouses")


def test_the_sdk_reads_both(scene: Scene, shelf: Shelf) -> None:
    scene.behave({"text": "Henry [1]."})
    messages: Any = [{"role": "user", "content": QUESTION}]
    extra = {"rag": {"library": shelf.name}}
    answer = scene.sdk.chat.completions.create(model=scene.model, messages=messages, extra_body=extra)
    assert answer.choices[0].message.annotations
    chunks = list(
        scene.sdk.chat.completions.create(model=scene.model, messages=messages, extra_body=extra, stream=True)
    )
    assert any(getattr(chunk.choices[0].delta, "annotations", None) for chunk in chunks if chunk.choices)


def test_filters_and_top_k_choose_the_passages(scene: Scene, shelf: Shelf) -> None:
    ask(scene, shelf, rag={"filters": {"kind": {"eq": "shops"}}})
    assert "Winstanley" not in shown(scene)
    response = ask(scene, shelf, rag={"top_k": 1})
    assert response.headers["x-gateway-sources"] == "1"


def test_nothing_found_is_said_to_the_model(scene: Scene, shelf: Shelf) -> None:
    response = ask(scene, shelf, rag={"filters": {"kind": {"eq": "ships"}}})
    assert response.status_code == 200
    assert "found nothing" in shown(scene)
    assert response.headers["x-gateway-sources"] == "0"


def test_documents_of_a_strict_library_stay_in_the_house(make_scene: MakeScene) -> None:
    cloud = make_scene(kind="openai")
    shelf = Shelf(cloud, privacy_mode="strict")
    shelf.add(LIGHTHOUSE, "Lighthouses")
    response = ask(cloud, shelf)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "permission_denied")
    assert cloud.received() == []
    # Also where nothing is found.
    assert ask(cloud, shelf, rag={"filters": {"kind": {"eq": "ships"}}}).status_code == 403
    # Without its documents the same request may leave.
    answer = cloud.post()
    assert (answer.status_code, cloud.record(answer)["grounding"]) == (200, None)
    # Explain says what was done.
    messages = [{"role": "user", "content": QUESTION}]
    said = cloud.account.call(
        "POST", "/api/routing/explain", 200, model=cloud.model, messages=messages, rag={"library": shelf.name}
    )
    assert (said["privacy"], said["chosen"], said["refusal"]["status"]) == ("local_only", None, 403)
    assert said["refusal"]["message"] == response.json()["error"]["message"]


def test_a_policy_has_a_library_of_its_own(scene: Scene, shelf: Shelf) -> None:
    policy = scene.account.call(
        "POST", "/api/routing/policies", 201, name=shelf.name, models=[scene.model], rag={"library": shelf.name}
    )
    try:
        end = time.monotonic() + 5
        messages = [{"role": "user", "content": QUESTION}]
        while (response := scene.post(model=f"policy/{shelf.name}", messages=messages)).status_code == 404:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert response.status_code == 200, response.text
        assert LIGHTHOUSE in shown(scene)
    finally:
        scene.account.call("DELETE", f"/api/routing/policies/{policy['id']}", 204)


def test_a_deleted_document_is_quoted_no_more(scene: Scene) -> None:
    shelf = Shelf(scene)
    document = shelf.add(LIGHTHOUSE, "Lighthouses")
    assert ask(scene, shelf, temperature=0).headers["x-gateway-cache"] == "miss"
    again = ask(scene, shelf, temperature=0)
    assert again.headers["x-gateway-cache"] == "hit"
    assert again.json()["choices"][0]["message"]["annotations"]
    assert scene.http.delete(f"/documents/{document}").status_code == 204
    after = ask(scene, shelf, temperature=0)
    assert after.headers["x-gateway-cache"] == "miss"
    assert "Winstanley" not in shown(scene)


def test_what_was_kept_of_an_answer_goes_with_the_document_that_it_quotes(gateway: Process, upstream: Upstream) -> None:
    account = Account(gateway.url, "archivist")
    account.call("PATCH", f"/api/workspaces/{account.workspace['id']}", 200, store_content=True)
    scene = Scene(gateway.url, upstream, account, account.create_key()["key"])
    shelf = Shelf(scene)
    lighthouse, bakery = shelf.add(LIGHTHOUSE, "Lighthouses"), shelf.add(BAKERY, "Shops")

    def once(document: str) -> httpx.Response:
        """Asked with an idempotency key, and answered from one document alone."""
        wanted = "towers" if document == lighthouse else "shops"
        filters = {"filters": {"title": {"eq": "Lighthouses" if wanted == "towers" else "Shops"}}}
        body = scene.body(messages=[{"role": "user", "content": QUESTION}], rag={"library": shelf.name, **filters})
        return scene.http.post("/v1/chat/completions", json=body, headers={"idempotency-key": document})

    answers = {document: once(document) for document in (lighthouse, bakery)}
    for answer in answers.values():
        assert scene.record(answer)["content"]["request"]["messages"]
    assert once(lighthouse).json() == answers[lighthouse].json()

    assert scene.http.delete(f"/documents/{lighthouse}").status_code == 204
    refused = once(lighthouse)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert "Winstanley" not in refused.text
    assert scene.record(answers[lighthouse])["content"] is None
    assert once(bakery).json() == answers[bakery].json()
    assert "Rye bread" in str(scene.record(answers[bakery])["content"])

    account.call("DELETE", f"/api/libraries/{shelf.library['id']}", 204)
    assert once(bakery).status_code == 409
    assert scene.record(answers[bakery])["content"] is None
    scene.close()


def test_another_workspace_has_no_such_library(scene: Scene, shelf: Shelf, other_account: Account) -> None:
    stranger = other_account.create_key()["key"]
    body = scene.body(messages=[{"role": "user", "content": QUESTION}], rag={"library": shelf.name}, model="auto")
    end = time.monotonic() + 5
    while True:
        response = httpx.post(
            f"{scene.url}/v1/chat/completions", json=body, headers={"x-api-key": stranger}, trust_env=False
        )
        if response.status_code != 401 or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert response.status_code == 404
    assert response.json()["error"]["param"] == "rag.library"


def test_a_key_without_the_scope_reads_no_documents(scene: Scene, shelf: Shelf) -> None:
    key = scene.account.create_key(scopes=["inference"])["key"]
    body = scene.body(rag={"library": shelf.name})
    end = time.monotonic() + 5
    while True:
        response = httpx.post(
            f"{scene.url}/v1/chat/completions", json=body, headers={"x-api-key": key}, trust_env=False
        )
        if response.status_code != 401 or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert response.status_code == 403
    assert "documents:read" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("rag", "status", "field"),
    [
        ("x", 400, "rag"),
        ({"library": "no-such-library"}, 404, "rag.library"),
        ({"library": "?", "top_k": -1}, 400, "rag.top_k"),
        ({"library": "?", "filters": {"kind": {"near": 1}}}, 400, "rag.filters.kind.near"),
    ],
    ids=str,
)
def test_a_wrong_wish_is_named(scene: Scene, shelf: Shelf, rag: Any, status: int, field: str) -> None:
    if isinstance(rag, dict) and rag["library"] == "?":
        rag = rag | {"library": shelf.name}
    response = scene.post(rag=rag)
    assert (response.status_code, response.json()["error"]["param"]) == (status, field), response.text
    assert scene.received() == []


def test_only_chat_is_answered_from_documents(scene: Scene, shelf: Shelf) -> None:
    response = scene.http.post(
        "/v1/completions", json={"model": scene.model, "prompt": "x", "rag": {"library": shelf.name}}
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "rag")
