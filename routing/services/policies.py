"""What can be done to a policy. Callers have checked the role; the policy is of the caller's workspace.

Each change locks the workspace's row first, so that two at once neither make two defaults nor lose one another.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.access import Caller, scoped
from accounts.models import Workspace
from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound
from gateway_project.lib.schemas import parse
from keys.queries import keys_naming_policy
from keys.services import rename_policy
from rag import filters
from routing.models import Policy, PolicyVersion
from routing.policies import BUILT_IN, RESERVED
from routing.policy_document import NewPolicy, PolicyChange, PolicyDocument, as_json, merged

logger = logging.getLogger(__name__)

# Each process keeps every policy in memory.
MAX_POLICIES = 100
# Keys that a refusal names.
NAMED_KEYS = 5


@transaction.atomic
def create_policy(caller: Caller, data: NewPolicy | Mapping[str, Any]) -> Policy:
    """A new policy, at version 1. With `default` it takes that from the one that has it.

    Raises `InvalidRequest` naming the field, `Conflict` when the name is taken or there are `MAX_POLICIES`.
    """
    fields = parse(NewPolicy, data)
    _check_filters(fields)
    _lock(caller)
    _check_name(caller, fields.name)
    if scoped(Policy.objects.all(), caller).count() >= MAX_POLICIES:
        raise Conflict(f"A workspace has at most {MAX_POLICIES} policies; remove one first.")
    policy = Policy(workspace=caller.workspace, created_by=caller.user, name=fields.name, version=0)
    _next_version(caller, policy, as_json(fields), "Created", is_default=fields.default)
    audit.record(caller, "policy.created", policy, new=_facts(policy))
    return policy


@transaction.atomic
def change_policy(caller: Caller, policy: Policy, data: PolicyChange | Mapping[str, Any]) -> Policy:
    """Set the fields that `data` has; the rest of the document stays. What changes nothing makes no version.

    Gateway keys that name the policy follow it when it is renamed. Raises `InvalidRequest` naming the field,
    `Conflict` when the name is taken, `NotFound` when the policy was removed just now.
    """
    fields = parse(PolicyChange, data)
    _check_filters(fields)
    changed = fields.model_fields_set
    policy = _locked(caller, policy)
    old = current_version(policy).document
    document = as_json(parse(PolicyDocument, merged(old, fields)))
    former, before, followers = policy.name, _facts(policy), 0
    is_default = fields.default if "default" in changed else policy.is_default
    done = []
    if "name" in changed and fields.name != former:
        _check_name(caller, fields.name, policy)
        policy.name = fields.name
        followers = rename_policy(caller, former, fields.name)
        done.append(f"Renamed from '{former}'")
    if is_default != policy.is_default:
        done.append("Made the default" if is_default else "No longer the default")
    different = [name for name in document if document[name] != old.get(name)]
    if different:
        done.append(f"Changed {', '.join(different)}")
    if not done:
        return policy
    _next_version(caller, policy, document, "; ".join(done), is_default=is_default)
    before, after = {**before, "keys_that_follow": 0}, {**_facts(policy), "keys_that_follow": followers}
    audit.record(caller, "policy.changed", policy, old=before, new=after)
    return policy


@transaction.atomic
def roll_back(caller: Caller, policy: Policy, version: int) -> Policy:
    """Have `policy` say again what it said in `version`, as a new version; its name and being the default stay.

    Raises `InvalidRequest` when there is no such version, `NotFound` when the policy was removed just now.
    """
    policy = _locked(caller, policy)
    old = policy.versions.filter(version=version).first()
    if old is None:
        raise InvalidRequest(f"version: this policy has the versions 1 to {policy.version}.", param="version")
    # Checked as new: what was allowed then need not be now.
    document, before = parse(PolicyDocument, old.document), _facts(policy)
    _check_filters(document)
    _next_version(caller, policy, as_json(document), f"Rolled back to version {version}", is_default=policy.is_default)
    audit.record(caller, "policy.rolled_back", policy, old=before, new=_facts(policy))
    return policy


@transaction.atomic
def remove_policy(caller: Caller, policy: Policy) -> None:
    """Remove `policy` with its versions; after the default, the built-in one holds.

    Raises `Conflict` while gateway keys name it: they would be without the rules that they were given.
    """
    policy = _locked(caller, policy)
    keys = keys_naming_policy(caller.workspace.pk, policy.name, limit=NAMED_KEYS + 1)
    if keys:
        shown = ", ".join(f"'{name}'" for name in keys[:NAMED_KEYS]) + (", …" if len(keys) > NAMED_KEYS else "")
        raise Conflict(f"Gateway keys name this policy: {shown}. Give them another one, or revoke them, first.")
    logger.info("policy %s removed by user %s", policy.pk, caller.user.pk)
    audit.record(caller, "policy.removed", policy, old=_facts(policy))
    policy.delete()


def named_policy(workspace: Workspace, name: str) -> str:
    """The name of the policy that `name` means, as it is written, for a gateway key to keep.

    Within a transaction the policy can be neither renamed nor removed until its end. Raises `InvalidRequest`.
    """
    policies = Policy.objects.filter(workspace=workspace)
    found = next((policy for policy in policies.only("name") if policy.name.lower() == name.lower()), None)
    if found is not None:
        locked = policies.select_for_update(no_key=True).filter(pk=found.pk).first()
        if locked is not None and locked.name.lower() == name.lower():
            return locked.name
    if name.lower() == BUILT_IN.lower():
        return BUILT_IN
    raise InvalidRequest(f"policy: there is no policy named '{name}'.", param="policy")


def policy_names(workspace: Workspace) -> list[str]:
    """The names of the workspace's policies, and of the built-in one."""
    names = list(Policy.objects.filter(workspace=workspace).values_list("name", flat=True))
    return names if BUILT_IN.lower() in map(str.lower, names) else [*names, BUILT_IN]


def _check_filters(document: PolicyDocument) -> None:
    """Raises `FilterError`, as each request of the policy would, for a filter of metadata that is none.

    Not a part of the schema: that shows what is stored as well, from before this was asked.
    """
    if document.rag is not None:
        filters.parse(document.rag.filters, "rag.filters")


def current_version(policy: Policy) -> PolicyVersion:
    """The version of `policy` that is in force."""
    return policy.versions.get(version=policy.version)


def _facts(policy: Policy) -> audit.Facts:
    """What the audit trail keeps of a policy: all that it says."""
    named = {"name": policy.name, "version": policy.version, "default": policy.is_default}
    return {**named, **current_version(policy).document}


# --- Parts ---------------------------------------------------------------------------------------


def _lock(caller: Caller) -> None:
    """Let no other change of the workspace's policies in until the transaction ends."""
    # Rows that refer to the workspace (requests, keys) can be written meanwhile: the lock is not on its key.
    Workspace.objects.select_for_update(no_key=True).get(pk=caller.workspace.pk)


def _locked(caller: Caller, policy: Policy) -> Policy:
    _lock(caller)
    locked = Policy.objects.select_for_update().filter(pk=policy.pk).first()
    if locked is None:
        raise NotFound("There is no such policy.")
    return locked


def _check_name(caller: Caller, name: str, but: Policy | None = None) -> None:
    """Compared as the request path compares them: a database's own idea of case may differ from it."""
    if name.lower() in RESERVED and (but is None or name.lower() != but.name.lower()):
        raise Conflict(f"The name '{name}' is reserved: the gateway's own policy is called '{BUILT_IN}'.", param="name")
    for policy in scoped(Policy.objects.only("name"), caller):
        if policy.name.lower() == name.lower() and (but is None or policy.pk != but.pk):
            raise Conflict(f"There is a policy named '{policy.name}' already.", param="name")


def _next_version(caller: Caller, policy: Policy, document: dict[str, Any], note: str, *, is_default: bool) -> Policy:
    """Save `policy` with a version that says `document`."""
    if is_default and not policy.is_default:
        for former in scoped(Policy.objects.filter(is_default=True), caller):
            audit.record(caller, "policy.changed", former, old={"default": True}, new={"default": False})
            Policy.objects.filter(pk=former.pk).update(is_default=False)
    policy.is_default = is_default
    policy.version += 1
    policy.save()
    PolicyVersion.objects.create(
        policy=policy, version=policy.version, document=document, note=note[:200], created_by=caller.user
    )
    logger.info("policy %s is at version %s by user %s", policy.pk, policy.version, caller.user.pk)
    return policy
