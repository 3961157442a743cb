"""Reads: what the request path needs to know of policies, of models' settings and of the evidence for them."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from django.db.models import F, Sum

from routing import policy_document
from routing.catalog import ModelSettingsFacts
from routing.models import Evidence, ModelSettings, PolicyVersion
from routing.policies import DEFAULT, PolicyFacts

logger = logging.getLogger(__name__)

# (provider id, model)
ModelKey = tuple[str, str]
# (model, complexity): sums of weights, good and bad.
EvidenceSums = Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class WorkspacePolicies:
    """The policies of a workspace by lower-case name, and the one that holds where none is named."""

    by_name: Mapping[str, PolicyFacts] = field(default_factory=dict)
    default: PolicyFacts = DEFAULT
    # By the names that some of them had lately; see `since`.
    former: Mapping[str, PolicyFacts] = field(default_factory=dict)

    def since(self, before: "WorkspacePolicies") -> "WorkspacePolicies":
        """These, with the names that they had `before` known: a request may hold a key that was read a moment ago."""
        by_id = {policy.id: policy for policy in self.by_name.values()}
        renamed = {
            name: by_id[policy.id]
            for name, policy in (*before.former.items(), *before.by_name.items())
            if policy.id in by_id and name not in self.by_name
        }
        return replace(self, former=renamed)


def policies(workspaces: Collection[str] | None = None) -> dict[str, WorkspacePolicies]:
    """The policies of these workspaces, or of all, by workspace id. One query, whatever their number.

    One that this version cannot read is left out and logged: it must not take the others with it. What it says of
    privacy is not known then, so where it is the default, requests stay in the house.
    """
    rows = PolicyVersion.objects.filter(version=F("policy__version"))
    if workspaces is not None:
        rows = rows.filter(policy__workspace_id__in=workspaces)
    found: dict[str, dict[str, PolicyFacts]] = defaultdict(dict)
    defaults: dict[str, PolicyFacts] = {}
    for workspace, policy_id, name, is_default, version, document in rows.values_list(
        "policy__workspace_id", "policy_id", "policy__name", "policy__is_default", "version", "document"
    ):
        by_name = found[str(workspace)]
        try:
            facts = by_name[name.lower()] = policy_document.facts(str(policy_id), name, version, document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.error("version %s of policy %s is left out: %s", version, policy_id, error)
            facts = replace(DEFAULT, id=str(policy_id), name=name, version=version, privacy_mode="strict")
        if is_default:
            defaults[str(workspace)] = facts
    return {
        workspace: WorkspacePolicies(by_name, defaults.get(workspace, DEFAULT)) for workspace, by_name in found.items()
    }


def model_settings(workspaces: Collection[str] | None = None) -> dict[str, dict[ModelKey, ModelSettingsFacts]]:
    """What these workspaces, or all, set for models, by workspace id. One query."""
    rows = ModelSettings.objects.all()
    if workspaces is not None:
        rows = rows.filter(workspace_id__in=workspaces)
    found: dict[str, dict[ModelKey, ModelSettingsFacts]] = defaultdict(dict)
    for row in rows:
        found[str(row.workspace_id)][str(row.provider_id), row.model] = settings_facts(row)
    return dict(found)


def settings_facts(row: ModelSettings) -> ModelSettingsFacts:
    """`row` as the catalog takes it."""
    return ModelSettingsFacts(
        input_usd_per_mtok=row.input_usd_per_mtok,
        cached_input_usd_per_mtok=row.cached_input_usd_per_mtok,
        output_usd_per_mtok=row.output_usd_per_mtok,
        quality=row.quality,
        context_window=row.context_window,
        enabled=row.enabled,
    )


def evidence(workspaces: Collection[str] | None = None) -> dict[str, EvidenceSums]:
    """What these workspaces, or all, learnt of models, by workspace id; its sources added up. One query."""
    rows = Evidence.objects.all()
    if workspaces is not None:
        rows = rows.filter(workspace_id__in=workspaces)
    found: dict[str, dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    sums = rows.values_list("workspace_id", "model", "complexity").annotate(Sum("good"), Sum("bad"))
    for workspace, model, complexity, good, bad in sums:
        found[str(workspace)][model, complexity] = (good, bad)
    return dict(found)
