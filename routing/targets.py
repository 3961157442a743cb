"""What one workspace's requests can be routed to, and by which rules: the part of the snapshot that a request reads."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from keys.queries import ProviderFacts
from routing import catalog
from routing.catalog import ModelSettingsFacts
from routing.policies import BUILT_IN, DEFAULT, PolicyFacts
from routing.providers.base import Target
from routing.queries import EvidenceSums, ModelKey, WorkspacePolicies

# Targets of one workspace, in the order of its providers and their lists: every process keeps them all, and each `auto`
# looks at them all. A model beyond can still be named, unless its user made the list.
MAX_TARGETS = 5000

_versions = itertools.count(1)


@dataclass(slots=True)
class WorkspaceTargets:
    """The enabled targets of one workspace, in the order in which the providers were made and list their models.

    A change makes another one; nothing in it changes after it was built.
    """

    providers: dict[str, ProviderFacts] = field(default_factory=dict)
    targets: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    by_model: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    # All of them, those whose model the workspace switched off (`facts.enabled`) too.
    all: tuple[Target, ...] = ()
    # What `auto` chooses from: every target that chats and is not switched off; the demo where there is nothing else.
    automatic: tuple[Target, ...] = ()
    # The models of each disabled provider, so that who asks for one is told what is wrong.
    disabled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # By lower-case name, and the one that holds where neither the request nor its key names one.
    policies: Mapping[str, PolicyFacts] = field(default_factory=dict)
    default_policy: PolicyFacts = DEFAULT
    # By the names that they had until lately, for a key that was read before one was renamed.
    former_policies: Mapping[str, PolicyFacts] = field(default_factory=dict)
    # What the workspace set for models, also for those that no provider lists.
    settings: Mapping[ModelKey, ModelSettingsFacts] = field(default_factory=dict)
    evidence: EvidenceSums = field(default_factory=dict)
    # Grows with every change, so that what is derived from this can be kept by it.
    version: int = 0
    # A digest of which targets can be asked, and where: another one as soon as an answer may come from elsewhere.
    imprint: str = ""
    # What `routing.plan` made of this view for the kinds of requests that came; each view has its own.
    plans: dict[Any, Any] = field(init=False, default_factory=dict, repr=False, compare=False)

    def policy(self, name: str) -> PolicyFacts | None:
        """The policy of that name, whatever its case; one of the workspace's own goes before the built-in one."""
        return self.policies.get(name.lower()) or (DEFAULT if name.lower() == BUILT_IN.lower() else None)

    @property
    def policy_names(self) -> list[str]:
        """What policies can be named here, the built-in one last."""
        own = [policy.name for policy in self.policies.values()]
        return own if BUILT_IN.lower() in self.policies else [*own, BUILT_IN]

    @classmethod
    def build(
        cls,
        providers: Iterable[ProviderFacts],
        *,
        policies: WorkspacePolicies | None = None,
        settings: Mapping[ModelKey, ModelSettingsFacts] | None = None,
        evidence: EvidenceSums | None = None,
        before: "WorkspaceTargets | None" = None,
    ) -> "WorkspaceTargets":
        """The view of a workspace; targets of the one `before` that are still the same are taken from it."""
        known = policies or WorkspacePolicies()
        view = cls(
            policies=known.by_name,
            default_policy=known.default,
            former_policies=known.former,
            settings=settings or {},
            evidence=evidence or {},
            version=next(_versions),
        )
        by_model: dict[str, list[Target]] = {}
        room = MAX_TARGETS
        for provider in providers:
            models = provider.model_ids or provider.discovered
            if not provider.enabled:
                view.disabled[provider.name] = models
                continue
            view.providers[provider.name] = provider
            targets = view._targets(provider, models[:room], before or EMPTY)
            room -= len(targets)
            view.targets[provider.name] = targets
            for target in targets:
                by_model.setdefault(target.model, []).append(target)
        view.by_model = {model: tuple(targets) for model, targets in by_model.items()}
        view.all = tuple(target for targets in view.targets.values() for target in targets)
        chats = [target for target in view.all if target.facts.enabled and catalog.chats(target.kind, target.model)]
        view.automatic = tuple([target for target in chats if target.kind.wire != "demo"] or chats)
        view.imprint = _imprint(view)
        return view

    def with_evidence(self, evidence: EvidenceSums) -> "WorkspaceTargets":
        """This view with other evidence."""
        return replace(self, evidence=evidence, version=next(_versions))

    def unlisted(self, provider: ProviderFacts, model: str) -> Target:
        """`model` at `provider`, whether or not the provider lists it."""
        return make_target(provider, model, self.settings.get((provider.id, model)))

    def _targets(
        self, provider: ProviderFacts, models: Iterable[str], before: "WorkspaceTargets"
    ) -> tuple[Target, ...]:
        """What its transport prepared for a target is kept as long as the target is the same."""
        unchanged = before.providers.get(provider.name) is provider
        old = {target.model: target for target in before.targets[provider.name]} if unchanged else {}
        return tuple(
            old[model]
            if model in old and before.settings.get((provider.id, model)) == self.settings.get((provider.id, model))
            else self.unlisted(provider, model)
            for model in models
        )


def make_target(provider: ProviderFacts, model: str, settings: ModelSettingsFacts | None = None) -> Target:
    """`model` at `provider`, whether or not the provider lists it, with what the workspace set for it."""
    return Target(
        provider_id=provider.id,
        provider=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        model=model,
        local=provider.local,
        secret=provider.secret,
        facts=catalog.facts_at(provider, model, settings),
    )


def _imprint(view: WorkspaceTargets) -> str:
    """The same in every process, whatever the order of a provider's list."""
    offered = [
        [
            provider.id, name, provider.kind.id, provider.base_url, provider.local,
            sorted(target.model for target in view.targets[name] if target.facts.enabled),
        ]
        for name, provider in sorted(view.providers.items())
    ]  # fmt: skip
    return hashlib.blake2b(orjson.dumps(offered), digest_size=16).hexdigest()


EMPTY = WorkspaceTargets()
