"""Hand-built views, keys and requests, for tests of what a policy decides."""

import dataclasses
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from gateway_project.lib.errors import ApiError
from keys.kinds import KINDS
from keys.queries import KeyFacts, ProviderFacts
from routing.catalog import ModelSettingsFacts
from routing.classify import classify
from routing.decision import Decision
from routing.endpoints import CHAT
from routing.exchange import Exchange, Wishes
from routing.health import Health
from routing.policies import DEFAULT, PolicyFacts
from routing.policy import chosen, decide
from routing.queries import WorkspacePolicies
from routing.sticky import Conversations
from routing.targets import WorkspaceTargets

NOTHING_SET = ModelSettingsFacts()


def provider(
    name: str,
    kind: str = "vllm",
    models: tuple[str, ...] = (),
    *,
    local: bool | None = None,
    discovered: tuple[str, ...] = (),
    enabled: bool = True,
) -> ProviderFacts:
    """A provider that is as local as its kind, unless the test says otherwise. Its id is made of its name."""
    return ProviderFacts(
        id=f"id-{name}", workspace_id="w", name=name, kind=KINDS[kind], base_url="http://localhost/v1", secret=None,
        local=KINDS[kind].self_hosted if local is None else local, enabled=enabled, model_ids=models,
        discovered=discovered,
    )  # fmt: skip


def settings(
    *, into: float | None = None, out: float | None = None, quality: float | None = None, **others: Any
) -> ModelSettingsFacts:
    """What a workspace set for a model; prices are USD per million tokens."""
    return ModelSettingsFacts(
        input_usd_per_mtok=None if into is None else Decimal(str(into)),
        output_usd_per_mtok=None if out is None else Decimal(str(out)),
        quality=quality,
        **others,
    )


def view_of(
    *providers: ProviderFacts,
    policies: tuple[PolicyFacts, ...] = (),
    default: PolicyFacts = DEFAULT,
    settings: Mapping[str, ModelSettingsFacts] | None = None,
    evidence: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> WorkspaceTargets:
    """A workspace with these; `settings` are by `<provider>/<model>`."""
    known = {}
    for name, facts in (settings or {}).items():
        provider_name, _, model = name.partition("/")
        known[f"id-{provider_name}", model] = facts
    return WorkspaceTargets.build(
        providers,
        policies=WorkspacePolicies({policy.name.lower(): policy for policy in policies}, default),
        settings=known,
        evidence=evidence,
    )


def caller_of(**facts: Any) -> KeyFacts:
    """A gateway key without limits, but for `facts`."""
    defaults: dict[str, Any] = {
        "id": "k", "workspace_id": "w", "user_id": "", "name": "k", "digests": (), "expires_at": None, "revoked": False,
        "allowed_models": None, "policy": "", "privacy_mode": "flexible", "scopes": frozenset({"inference"}),
    }  # fmt: skip
    return KeyFacts(**defaults | facts)


def request(
    model: str = "auto",
    *,
    caller: KeyFacts | None = None,
    wishes: Wishes | None = None,
    complexity: str = "",
    tokens: int | None = None,
    stream: bool = False,
    **body: Any,
) -> Exchange:
    """A chat request, classified; `complexity` and `tokens` override what was found."""
    wishes = wishes or Wishes()
    if complexity:
        wishes = dataclasses.replace(wishes, complexity=complexity)
    body = {"messages": [{"role": "user", "content": "Say something."}], **body}
    exchange = Exchange(CHAT, caller=caller or caller_of(), model=model, wishes=wishes, body=body, stream=stream)
    exchange.label = classify(CHAT, body, wishes)
    if tokens is not None:
        exchange.label.prompt_tokens = tokens
    return exchange


def decided(
    exchange: Exchange,
    view: WorkspaceTargets,
    health: Health | None = None,
    conversations: Conversations | None = None,
    *,
    policy: PolicyFacts | None = None,
) -> Decision:
    """What the pipeline decides; `policy` stands in for the one in force."""
    exchange.policy = policy or chosen(exchange, view)
    exchange.decision = decide(exchange, view, health or Health(), conversations)
    return exchange.decision


def ids(decision: Decision) -> list[str]:
    return [target.id for target in decision.targets]


def reasons(decision: Decision) -> dict[str, str]:
    """Why each excluded candidate was, by its id."""
    return {each.target.id: each.excluded_because for each in decision.candidates if each.excluded_because}


def policy_with(**facts: Any) -> PolicyFacts:
    """The built-in policy as a workspace's own, but for `facts`."""
    return dataclasses.replace(DEFAULT, **{"id": "policy-id", "name": "ours", "version": 1, **facts})


def refusal(exchange: Exchange, view: WorkspaceTargets, health: Health | None = None, **given: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        decided(exchange, view, health, **given)
    return refused.value


def opened(view: WorkspaceTargets, *names: str, denied: bool = False) -> Health:
    """A health in which these targets' breakers are open."""
    health = Health()
    for target in view.all:
        if target.id in names:
            flight = health.begin(target, stream=False)
            assert flight is not None
            if denied:
                health.credential_of = lambda _: "the same"
                flight.state.switch.deny(time.monotonic(), "the same", "it refuses our key")
            else:
                for _ in range(3):
                    again = health.begin(target, stream=False)
                    assert again is not None
                    again.failed("HTTP 500")
    return health
