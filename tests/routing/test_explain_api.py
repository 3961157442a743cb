"""`POST /api/routing/explain`: what the next request would do, by the request's own code, without sending anything."""

from typing import Any

import pytest
from pytest_django import Settings

from accounts.access import Caller
from analytics.models import UsageRecord
from gateway_project.lib.ids import uuid7
from keys.services import create_key, revoke_key
from rag.models import Library
from routing import services
from routing.snapshot import Snapshot
from tests.api_client import ApiClient
from tests.rag.shelves import make_document, make_library
from tests.routing.conftest import MakeProvider

PATH = "/api/routing/explain"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello, how are you?"}]}
CONTRACT = {"complexity", "complexity_score", "features", "candidates", "chosen", "fallbacks"}
SCORES = {"model", "provider", "cost_score", "quality_score", "speed_score", "score"}


@pytest.fixture(autouse=True)
def _targets(picture: Snapshot, make_provider: MakeProvider) -> None:
    make_provider("cloud", "openai", "gpt-4o", "gpt-4o-mini")
    make_provider("box", "vllm", "llama")
    picture.read_all()


def by_id(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {candidate["id"]: candidate for candidate in answer["candidates"]}


def test_it_answers_in_the_contracts_terms(api: ApiClient) -> None:
    answer = api.post(PATH, {"model": "auto", **HELLO})
    assert answer.status == 200
    said = answer.json
    assert said.keys() >= CONTRACT
    assert said["complexity"] == "simple"
    assert 0 <= said["complexity_score"] <= 1
    assert set(by_id(said)) == {"cloud/gpt-4o", "cloud/gpt-4o-mini", "box/llama"}
    assert all(candidate.keys() >= SCORES for candidate in said["candidates"])
    assert {said["chosen"], *said["fallbacks"]} == set(by_id(said))
    assert api.post(PATH, HELLO).json == said
    assert not UsageRecord.objects.exists()


def test_it_is_not_asked_without_end(api: ApiClient, member: Caller, settings: Settings) -> None:
    settings.EXPLAINS_PER_USER = (2, 3600)
    assert [api.post(PATH, HELLO).status for _ in range(3)] == [200, 200, 429]
    assert int(api.post(PATH, HELLO).headers["retry-after"]) > 0
    assert ApiClient.of(member).post(PATH, HELLO).status == 200


def test_the_built_in_policy_is_called_as_the_console_calls_it(api: ApiClient) -> None:
    for model in ("auto", "policy/balanced"):
        assert api.post(PATH, {"model": model, **HELLO}).json["policy"]["name"] == "Balanced"


def test_a_policy_is_explained_by_its_name(api: ApiClient, owner: Caller, picture: Snapshot) -> None:
    services.create_policy(owner, {"name": "Best", "weights": {"quality": 1}, "models": ["gpt-4o", "gone"]})
    picture.read_all()
    said = api.post(PATH, {"model": "policy/best", **HELLO}).json
    assert (said["policy"], said["chosen"], said["fallbacks"]) == (
        {"name": "Best", "version": 1}, "cloud/gpt-4o", [],
    )  # fmt: skip
    assert "'gone'" in " ".join(said["notes"])
    assert "excluded_because" in by_id(said)["box/llama"]
    assert "excluded_because" not in by_id(said)["cloud/gpt-4o"]


def test_the_default_holds_where_nothing_is_named(api: ApiClient, owner: Caller, picture: Snapshot) -> None:
    services.create_policy(owner, {"name": "house", "default": True, "privacy_mode": "strict"})
    picture.read_all()
    said = api.post(PATH, HELLO).json
    assert (said["policy"]["name"], said["chosen"]) == ("house", "box/llama")


def test_a_key_brings_its_limits_and_its_policy(api: ApiClient, owner: Caller, picture: Snapshot) -> None:
    services.create_policy(owner, {"name": "big", "models": ["gpt-4o", "gpt-4o-mini"]})
    key, _ = create_key(owner, {"name": "k", "policy": "big", "allowed_models": ["gpt-4o-mini", "llama"]})
    picture.read_all()
    said = api.post(PATH, {"key_id": str(key.pk), **HELLO}).json
    assert (said["policy"]["name"], said["chosen"], said["fallbacks"]) == ("big", "cloud/gpt-4o-mini", [])


def test_a_key_that_the_snapshot_has_not_heard_of_is_read(api: ApiClient, owner: Caller) -> None:
    key, _ = create_key(owner, {"name": "k", "privacy_mode": "strict"})
    assert api.post(PATH, {"key_id": str(key.pk), **HELLO}).json["chosen"] == "box/llama"


def test_a_model_that_is_switched_off_is_shown_with_the_reason(
    api: ApiClient, owner: Caller, picture: Snapshot
) -> None:
    services.set_model(owner, "cloud/gpt-4o", {"enabled": False})
    picture.read_all()
    said = api.post(PATH, HELLO).json
    assert by_id(said)["cloud/gpt-4o"]["excluded_because"]
    assert "cloud/gpt-4o" not in (said["chosen"], *said["fallbacks"])


def test_a_refusal_is_explained_not_raised(api: ApiClient, owner: Caller, picture: Snapshot) -> None:
    services.create_policy(owner, {"name": "none", "models": ["gone"]})
    picture.read_all()
    said = api.post(PATH, {"model": "policy/none", **HELLO}).json
    assert (said["chosen"], said["fallbacks"]) == (None, [])
    assert said["refusal"]["status"] in (403, 503)
    assert all(candidate["excluded_because"] for candidate in said["candidates"])


def test_the_gateways_own_fields_work(api: ApiClient) -> None:
    said = api.post(PATH, {**HELLO, "privacy_mode": "strict", "complexity": "expert"}).json
    assert (said["complexity"], said["chosen"], said["fallbacks"]) == ("expert", "box/llama", [])


def test_a_strict_library_keeps_the_request_in_the_house(api: ApiClient, owner: Caller, picture: Snapshot) -> None:
    library = make_library(owner.workspace, "towers")
    document = make_document(library, ["The lighthouse is red."], title="Towers")
    asked = {"messages": [{"role": "user", "content": "Who painted the lighthouse?"}], "rag": {"library": "towers"}}
    said = api.post(PATH, asked).json
    assert (said["privacy"], len(said["fallbacks"])) == ("anywhere", 2)
    assert said["grounding"]["documents"] == [{"id": str(document.pk), "title": "Towers"}]
    assert (said["grounding"]["passages"], said["grounding"]["library"]) == (1, "towers")
    assert said["prompt_tokens"] > api.post(PATH, asked | {"rag": None}).json["prompt_tokens"]

    Library.objects.filter(pk=library.pk).update(privacy_mode="strict")
    said = api.post(PATH, asked).json
    assert (said["privacy"], said["chosen"], said["fallbacks"]) == ("local_only", "box/llama", [])
    assert said["grounding"]["strict"]
    # As a policy's default, and through a key, it is the same.
    services.create_policy(owner, {"name": "reader", "default": True, "rag": {"library": "towers"}})
    key, _ = create_key(owner, {"name": "k"})
    picture.read_all()
    without = {"messages": asked["messages"], "key_id": str(key.pk)}
    assert api.post(PATH, without).json["privacy"] == "local_only"


def test_documents_that_cannot_be_read_are_a_refusal(api: ApiClient, owner: Caller, stranger: Caller) -> None:
    make_library(stranger.workspace, "theirs")
    said = api.post(PATH, {**HELLO, "rag": {"library": "theirs"}}).json
    assert (said["chosen"], said["grounding"], said["refusal"]["status"]) == (None, None, 404)
    make_library(owner.workspace, "towers")
    key, _ = create_key(owner, {"name": "k", "scopes": ["inference"]})
    said = api.post(PATH, {**HELLO, "rag": {"library": "towers"}, "key_id": str(key.pk)}).json
    assert (said["chosen"], said["refusal"]["status"]) == (None, 403)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
        ({**HELLO, "model": 5}, "model"), ({**HELLO, "complexity": "hard"}, "complexity"),
        ({**HELLO, "key_id": 5}, "key_id"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_the_fields_name(api: ApiClient, body: dict[str, Any], param: str) -> None:
    answer = api.post(PATH, body if body else b"{}")
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{",
        b'{"messages": [{"role": "user", "content": "hi"}], "x": ' + b"[" * 600 + b"]" * 600 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(api: ApiClient, body: bytes) -> None:
    assert api.post(PATH, body).status == 400


def test_only_a_key_of_the_workspace_that_works(api: ApiClient, owner: Caller, stranger: Caller) -> None:
    theirs, _ = create_key(stranger, {"name": "theirs"})
    for key_id in (str(theirs.pk), str(uuid7()), "nonsense"):
        assert api.post(PATH, {"key_id": key_id, **HELLO}).status == 404
    mine, _ = create_key(owner, {"name": "mine"})
    revoke_key(owner, mine)
    answer = api.post(PATH, {"key_id": str(mine.pk), **HELLO})
    assert (answer.status, answer.error["param"]) == (400, "key_id")


def test_a_viewer_may_ask_and_a_stranger_sees_their_own(viewer: Caller, stranger: Caller, anonymous: ApiClient) -> None:
    assert ApiClient.of(viewer).post(PATH, HELLO).json["chosen"]
    said = ApiClient.of(stranger).post(PATH, HELLO).json
    assert (said["candidates"], said["chosen"], said["refusal"]["status"]) == ([], None, 503)
    assert anonymous.post(PATH, HELLO).status == 401


def test_wrong_methods_are_refused(api: ApiClient) -> None:
    assert [api.get(PATH).status, api.patch(PATH).status, api.delete(PATH).status] == [405] * 3


def test_what_a_budget_has_no_room_for_is_excluded(api: ApiClient, owner: Caller, picture: Snapshot) -> None:
    """As a request would pass it over: the free one stays, and a model that is named is refused."""
    key, _ = create_key(owner, {"name": "ci", "budget_usd": "0.000001", "budget_period": "day"})
    picture.read_all()
    said = api.post(PATH, {"model": "auto", "key_id": str(key.id), "max_tokens": 100, **HELLO}).json
    assert (said["chosen"], said["fallbacks"], said["refusal"]) == ("box/llama", [], None)
    dear = by_id(said)["cloud/gpt-4o"]["excluded_because"]
    assert dear.startswith("it may cost $0.0")
    assert dear.endswith("which does not fit in the daily budget of the gateway key 'ci'")

    said = api.post(PATH, {"model": "gpt-4o", "key_id": str(key.id), **HELLO}).json
    assert said["chosen"] is None
    assert (said["refusal"]["status"], said["refusal"]["code"]) == (402, "budget_exceeded")
    assert "of $0.000001, $0 is spent" in said["refusal"]["message"]
