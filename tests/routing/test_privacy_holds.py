"""A strict request never has a cloud target, whatever else it asks for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.lib.errors import ApiError
from keys.kinds import KINDS
from keys.queries import KeyFacts, ProviderFacts
from routing.classify import classify
from routing.endpoints import CHAT
from routing.exchange import Exchange, Wishes
from routing.health import Health
from routing.snapshot import WorkspaceTargets
from tests.routing.stage import decided as route

MODELS = ("m1", "m2", "gpt-4o-mini", "text-embedding-3-small")


def provider(
    number: int, kind: str, local: bool, models: tuple[str, ...], discovered: tuple[str, ...]
) -> ProviderFacts:
    return ProviderFacts(
        id=f"id{number}", workspace_id="w", name=f"p{number}", kind=KINDS[kind], base_url="http://localhost/v1",
        secret=None, local=local, enabled=True, model_ids=models, discovered=discovered,
    )  # fmt: skip


names = st.lists(st.sampled_from(MODELS), max_size=3, unique=True).map(tuple)
workspaces = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.booleans(), names, names), max_size=4).map(
    lambda rows: WorkspaceTargets.build([provider(number, *row) for number, row in enumerate(rows)])
)
asked = st.sampled_from(["auto", "policy/x", *MODELS, *(f"p{n}/{m}" for n in range(4) for m in (*MODELS, "other"))])
# Every way to be strict, and everything else a request or a key may say beside it.
strict = st.sampled_from(["key", "request", "sensitivity"])


def exchange(model: str, strictness: str, **body: Any) -> Exchange:
    caller = KeyFacts(
        id="k", workspace_id="w", name="k", digests=(), expires_at=None, revoked=False, allowed_models=None, policy="",
        privacy_mode="strict" if strictness == "key" else "flexible", scopes=frozenset({"inference"}),
    )  # fmt: skip
    wishes = Wishes(
        privacy_mode="strict" if strictness == "request" else "flexible",
        sensitivity="confidential" if strictness == "sensitivity" else "public",
    )
    found = Exchange(CHAT, caller=caller, model=model, wishes=wishes, body={"messages": [{"role": "user"}], **body})
    found.label = classify(CHAT, found.body, wishes)
    return found


@given(workspaces, asked, strict, st.booleans(), st.booleans())
def test_no_strict_request_is_routed_to_a_cloud(
    workspace: WorkspaceTargets, model: str, strictness: str, tools: bool, stream: bool
) -> None:
    request = exchange(model, strictness, **({"tools": [{}]} if tools else {}))
    request.stream = stream
    try:
        targets, refused = route(request, workspace, Health()).targets, 0
    except ApiError as error:
        targets, refused = [], error.status
    assert all(target.local for target in targets)
    assert targets or refused in (403, 404, 501, 503)


@given(workspaces, asked)
def test_the_order_does_not_change_from_one_request_to_the_next(workspace: WorkspaceTargets, model: str) -> None:
    def order() -> list[str] | str:
        try:
            return [target.id for target in route(exchange(model, "none"), workspace, Health()).targets]
        except ApiError as error:
            return error.message

    assert order() == order()


def test_a_refusal_for_privacy_names_the_field_and_the_cloud() -> None:
    workspace = WorkspaceTargets.build([provider(0, "openai", False, ("gpt-4o-mini",), ())])
    with pytest.raises(ApiError) as refused:
        route(exchange("gpt-4o-mini", "request"), workspace, Health())
    assert (refused.value.status, refused.value.param) == (403, "privacy_mode")
    assert "p0" in refused.value.message


def test_the_demo_answers_auto_only_when_nothing_else_is_there() -> None:
    demo = provider(0, "demo", True, ("demo",), ())
    real = provider(1, "vllm", True, ("m1",), ())
    alone = route(exchange("auto", "none"), WorkspaceTargets.build([demo]), Health())
    beside = route(exchange("auto", "none"), WorkspaceTargets.build([demo, real]), Health())
    assert [target.id for target in alone.targets] == ["p0/demo"]
    assert [target.id for target in beside.targets] == ["p1/m1"]


def test_auto_does_not_choose_a_model_that_embeds() -> None:
    workspace = WorkspaceTargets.build([provider(0, "openai", False, (), ("text-embedding-3-small", "gpt-4o-mini"))])
    assert [t.model for t in route(exchange("auto", "none"), workspace, Health()).targets] == ["gpt-4o-mini"]


def test_a_target_that_failed_is_asked_last_until_it_answers() -> None:
    workspace = WorkspaceTargets.build([provider(n, "vllm", True, ("m1",), ()) for n in range(2)])
    health = Health()
    first, second = route(exchange("m1", "none"), workspace, health).targets
    for _ in range(3):
        flight = health.begin(first, stream=False)
        assert flight is not None
        flight.failed("HTTP 500")
    assert route(exchange("m1", "none"), workspace, health).targets == [second, first]
    flight = health.begin(first, stream=False, last_resort=True)
    assert flight is not None
    flight.first_byte()
    flight.completed(1)
    assert route(exchange("m1", "none"), workspace, health).targets == [first, second]
