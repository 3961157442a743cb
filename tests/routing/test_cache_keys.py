"""Two requests have one key exactly where the same answer will do for both, and either may have it."""

import copy
import dataclasses
from typing import Any

import orjson
import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.queries import KeyFacts
from routing.cache.keys import key_of
from routing.endpoints import CHAT, COMPLETIONS, Endpoint
from routing.exchange import Exchange, Wishes
from routing.policies import DEFAULT, PolicyFacts
from routing.snapshot import WorkspaceTargets
from tests.routing.stage import caller_of, policy_with, provider, view_of

VIEW = view_of(provider("house", models=("llama",)))
NESTED = "x"
for _ in range(300):
    NESTED = [NESTED]  # type: ignore[assignment]

names = st.text(min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": values}),
    min_size=1,
    max_size=3,
)
bodies = st.builds(
    lambda known, others: {**others, **known},
    st.fixed_dictionaries(
        {"model": names, "messages": messages},
        optional={"temperature": values, "tools": values, "seed": values, "user": names, "stream": st.booleans()},
    ),
    st.dictionaries(names, values, max_size=3),
)
callers = st.builds(
    lambda **facts: caller_of(**facts),
    workspace_id=st.sampled_from(["w", "v"]),
    allowed_models=st.none() | st.frozensets(st.sampled_from(["llama", "gpt"]), min_size=1),
    budgeted=st.booleans(),
    privacy_mode=st.sampled_from(["flexible", "strict"]),
    id=names,
    user_id=names,
)
wishes_made = st.builds(
    Wishes,
    privacy_mode=st.sampled_from(["", "strict", "flexible"]),
    sensitivity=st.sampled_from(["", "public", "internal", "confidential"]),
    task=st.sampled_from(["", "chat", "vision"]),
    complexity=st.sampled_from(["", "simple", "expert"]),
    metadata=st.dictionaries(names, names, max_size=2),
)
policies = st.builds(
    policy_with,
    id=st.sampled_from(["a", "b"]),
    version=st.integers(1, 2),
    privacy_mode=st.sampled_from(["", "strict"]),
    internal_may_leave=st.booleans(),
)
requests = st.tuples(bodies, callers, wishes_made, policies, st.sampled_from([CHAT, COMPLETIONS]))
Request = tuple[dict[str, Any], KeyFacts, Wishes, PolicyFacts, Endpoint]


def key(
    body: dict[str, Any],
    caller: KeyFacts | None = None,
    wishes: Wishes | None = None,
    policy: PolicyFacts = DEFAULT,
    endpoint: Endpoint = CHAT,
    view: WorkspaceTargets = VIEW,
) -> tuple[bytes, bool]:
    exchange = Exchange(endpoint, caller=caller or caller_of(), body=body, wishes=wishes or Wishes(), policy=policy)
    found = key_of(exchange, view)
    assert found is not None
    return found


def level(caller: KeyFacts, wishes: Wishes, policy: PolicyFacts) -> tuple[str, bool]:
    """How far the request may go, told from what privacy promises rather than from the code that decides it."""
    asked = (caller.privacy_mode, wishes.privacy_mode, policy.privacy_mode)
    internal = wishes.sensitivity == "internal"
    if "strict" in asked or wishes.sensitivity == "confidential":
        return "local only", internal
    if internal:
        return ("local first" if policy.internal_may_leave else "local only"), True
    return "anywhere", False


def meaning(request: Request) -> bytes:
    """All that matters of a request, written down."""
    body, caller, wishes, policy, endpoint = request
    allowed = None if caller.allowed_models is None else sorted(caller.allowed_models)
    asked = {name: value for name, value in body.items() if name not in ("user", "stream", "stream_options")}
    return orjson.dumps(
        [
            caller.workspace_id, allowed, caller.budgeted, *level(caller, wishes, policy), policy.id, policy.version,
            endpoint.path, wishes.task, wishes.complexity, orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode(),
            properties_in({name: value for name, value in asked.items() if name != endpoint.content}),
        ]
    )  # fmt: skip


def properties_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        own = [list(value["properties"])] if isinstance(value.get("properties"), dict) else []
        return own + [properties_in(value[name]) for name in sorted(value)]
    return [properties_in(member) for member in value] if isinstance(value, list) else []


@settings(max_examples=250, deadline=None)
@given(requests, requests)
def test_two_requests_share_a_key_only_where_nothing_that_matters_differs(one: Request, other: Request) -> None:
    assert (key(*one) == key(*other)) is (meaning(one) == meaning(other))


@settings(max_examples=200, deadline=None)
@given(requests, st.data())
def test_a_change_of_one_thing_that_matters_is_another_key(one: Request, data: st.DataObject) -> None:
    body, caller, wishes, policy, endpoint = one
    changed = data.draw(
        st.sampled_from(
            [
                (body | {"another": 1}, caller, wishes, policy, endpoint),
                (body | {"model": body["model"] + "!"}, caller, wishes, policy, endpoint),
                (body, dataclasses.replace(caller, workspace_id="another"), wishes, policy, endpoint),
                (body, dataclasses.replace(caller, allowed_models=frozenset({"another"})), wishes, policy, endpoint),
                (body, dataclasses.replace(caller, budgeted=not caller.budgeted), wishes, policy, endpoint),
                (body, caller, dataclasses.replace(wishes, task="ocr"), policy, endpoint),
                (body, caller, wishes, dataclasses.replace(policy, version=3), endpoint),
            ]
        )
    )
    assert key(*one) != key(*changed)


@settings(max_examples=200, deadline=None)
@given(bodies, st.randoms(use_true_random=False))
def test_the_order_of_fields_and_what_is_beside_the_question_make_no_difference(
    body: dict[str, Any], order: Any
) -> None:
    shuffled = list(copy.deepcopy(body).items())
    order.shuffle(shuffled)
    beside = {"user": "somebody", "stream": True, "stream_options": {"include_usage": True}}
    assert key(body, wishes=Wishes(metadata={"run": "1"})) == key(dict(shuffled) | beside)


@settings(max_examples=100, deadline=None)
@given(callers, wishes_made, policies)
def test_strict_is_whatever_must_stay_in_the_house(caller: KeyFacts, wishes: Wishes, policy: PolicyFacts) -> None:
    _, strict = key({"model": "llama", "messages": []}, caller, wishes, policy)
    assert strict is (level(caller, wishes, policy)[0] == "local only")


def test_the_order_of_a_schemas_properties_matters() -> None:
    def asks(*properties: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in properties}}
        return {"model": "llama", "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}

    assert key(asks("reasoning", "answer")) != key(asks("answer", "reasoning"))
    assert key(asks("reasoning", "answer")) == key(asks("reasoning", "answer"))


@pytest.mark.parametrize(
    "others",
    [
        (),
        (provider("house", models=("llama", "other")),),
        (provider("house", models=("llama",)), provider("cloud", "openai", models=("gpt",))),
        (provider("house", models=("llama",), local=False),),
        (provider("house", models=("llama",), enabled=False),),
        (dataclasses.replace(provider("house", models=("llama",)), base_url="http://elsewhere/v1"),),
        (dataclasses.replace(provider("house", models=("llama",)), id="another"),),
    ],
)
def test_another_offer_of_targets_is_another_key(others: tuple[Any, ...]) -> None:
    body = {"model": "auto", "messages": []}
    assert key(body) != key(body, view=view_of(*others))


def test_the_same_offer_is_the_same_key_in_every_process() -> None:
    body = {"model": "auto", "messages": []}
    again = view_of(provider("house", models=("llama",)))
    assert key(body) == key(body, view=again) == key(body, view=again.with_evidence({("llama", "simple"): (1.0, 2.0)}))
    one, other = (view_of(provider("p", discovered=models)) for models in (("a", "b"), ("b", "a")))
    assert key(body, view=one) == key(body, view=other)


def test_another_ring_is_another_key() -> None:
    body = {"model": "auto", "messages": []}
    first = key(body)
    with override_settings(ENCRYPTION_KEYS=("another key of thirty-two or more characters",)):
        assert key(body) != first


def test_what_is_nested_too_deeply_has_none() -> None:
    exchange = Exchange(CHAT, caller=caller_of(), body={"model": "llama", "messages": [], "deep": NESTED})
    assert key_of(exchange, VIEW) is None
