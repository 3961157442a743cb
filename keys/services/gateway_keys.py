"""What can be done to a gateway key. Callers have checked the role; the key is of the caller's workspace."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.access import Action, Caller, require, scoped
from accounts.budgets import set_back
from accounts.limits import set_limits, show_limits
from accounts.models import Membership
from gateway_project.lib.errors import Conflict
from gateway_project.lib.schemas import parse
from keys import tokens, vault
from keys.models import GatewayKey, KeySecret, all_scopes
from keys.policies import checked_policy
from keys.queries import spent_by
from keys.schemas import KeyChange, NewKey, Rotation

logger = logging.getLogger(__name__)

# An expired secret is kept for a while, so that its users are told that it was rotated.
REMEMBER_EXPIRED = timedelta(days=30)
# Each process keeps every key and its secrets in memory. Keys of a workspace that work, secrets of a key that do, and
# those that do not any more and are remembered.
MAX_KEYS, MAX_SECRETS, MAX_EXPIRED = 20_000, 10, 10
# Columns that hold "" where the API says null.
BLANK = ("policy", "privacy_mode")


@transaction.atomic
def create_key(caller: Caller, data: NewKey | Mapping[str, Any]) -> tuple[GatewayKey, str]:
    """A new gateway key and its secret, which nobody can see again.

    Raises `InvalidRequest`, and `Conflict` when the workspace has `MAX_KEYS`.
    """
    fields = parse(NewKey, data)
    _check_policy(caller, fields)
    if scoped(GatewayKey.objects.filter(revoked_at=None), caller).count() >= MAX_KEYS:
        raise Conflict(f"A workspace has at most {MAX_KEYS:,} keys that are not revoked; revoke one first.")
    key = GatewayKey(workspace=caller.workspace, created_by=caller.user, spent_usd=Decimal(0))
    _set(key, fields)
    key.save(force_insert=True)
    secret = _add_secret(key)
    audit.record(caller, "key.created", key, new={**_facts(key), **_secret_facts(key)})
    return key, secret


@transaction.atomic
def change_key(caller: Caller, key: GatewayKey, data: KeyChange | Mapping[str, Any]) -> GatewayKey:
    """Set the fields that `data` has. Raises `InvalidRequest`, and `Conflict` for a revoked key."""
    fields = parse(KeyChange, data)
    # Before the key's row is locked: whoever renames a policy locks the policy first, then the keys that name it.
    _check_policy(caller, fields)
    locked = _lock(key)
    with audit.changes(caller, "key.changed", locked, _facts):
        changed = _set(locked, fields)
        if changed:
            locked.save(update_fields=changed)
    return locked


def may_rotate(caller: Caller, key: GatewayKey) -> bool:
    """Whether `rotate_key` lets `caller` have a new secret of `key`."""
    return caller.may(Action.MANAGE_LIMITS) or key.created_by_id == caller.user.pk


@transaction.atomic
def rotate_key(caller: Caller, key: GatewayKey, overlap_seconds: int = 0) -> tuple[GatewayKey, str]:
    """Give `key` a new secret, which is returned; the older ones work for another `overlap_seconds`.

    Who has the secret spends on the limits of whoever made the key, so a member rotates only the keys that they made.
    Raises `PermissionDenied`, `InvalidRequest`, and `Conflict` for a revoked key or one with `MAX_SECRETS` that work.
    """
    if not may_rotate(caller, key):
        require(caller, Action.MANAGE_LIMITS)
    overlap = timedelta(seconds=parse(Rotation, {"overlap_seconds": overlap_seconds}).overlap_seconds)
    locked = _lock(key)
    now, former = timezone.now(), _secret_facts(locked)
    _forget_expired(locked, now)
    if overlap and locked.secrets.exclude(expires_at__lte=now).count() >= MAX_SECRETS:
        raise Conflict(
            f"This key has {MAX_SECRETS} secrets that still work. Wait for the first to end, or rotate without overlap."
        )
    # A secret in its overlap already may end sooner, never later.
    locked.secrets.filter(Q(expires_at=None) | Q(expires_at__gt=now + overlap)).update(expires_at=now + overlap)
    secret = _add_secret(locked)
    until = {"former_works_until": now + overlap}
    audit.record(caller, "key.rotated", locked, old=former, new={**_secret_facts(locked), **until})
    logger.info("gateway key %s rotated by user %s, overlap %s s", key.id, caller.user.pk, overlap_seconds)
    return locked, secret


def _forget_expired(key: GatewayKey, now: datetime) -> None:
    """Delete the secrets that ended long ago, and all that ended but for the last `MAX_EXPIRED`."""
    expired = key.secrets.filter(expires_at__lte=now)
    remembered = expired.filter(expires_at__gte=now - REMEMBER_EXPIRED).order_by("-expires_at", "-created_at")
    expired.exclude(pk__in=list(remembered.values_list("pk", flat=True)[:MAX_EXPIRED])).delete()


@transaction.atomic
def revoke_key(caller: Caller, key: GatewayKey) -> None:
    """End `key` for good. Revoking it again changes nothing."""
    now = timezone.now()
    if GatewayKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        audit.record(caller, "key.revoked", key, new={"revoked_at": now})
        logger.info("gateway key %s revoked by user %s", key.id, caller.user.pk)


def revoke_limited(caller: Caller | None, membership: Membership) -> None:
    """Revoke the keys of a member who leaves, if limits held for them that end with the membership: without those,
    whoever has a key's secret could spend what the member might not. Part of the caller's transaction; without `caller`
    it is the administration's doing.
    """
    if not membership.is_limited:
        return
    now = timezone.now()
    made = GatewayKey.objects.filter(workspace=membership.workspace_id, created_by=membership.user_id, revoked_at=None)
    for key in made.select_for_update():
        audit.record(caller, "key.revoked", key, new={"revoked_at": now}, workspace=membership.workspace)
    made.update(revoked_at=now)


@transaction.atomic
def reset_budget(caller: Caller, key: GatewayKey) -> GatewayKey:
    """Let what `key` spends count from zero again; see `accounts.budgets.set_back`."""
    locked = GatewayKey.objects.select_for_update().get(pk=key.pk)
    (spent,) = spent_by([locked]).values()
    logger.info("gateway key %s: budget reset by user %s at %s USD", key.id, caller.user.pk, spent)
    columns = set_back(caller, "key.budget_reset", locked, spent)
    locked.spent_usd = Decimal(0)
    locked.save(update_fields=columns | {"spent_usd"})
    return locked


def rename_policy(caller: Caller, former: str, name: str) -> int:
    """Have every key of the workspace that names the policy `former` name it `name`; how many there were."""
    return scoped(GatewayKey.objects.filter(policy=former), caller).update(policy=name)


def _check_policy(caller: Caller, fields: KeyChange) -> None:
    if fields.policy:
        fields.policy = checked_policy(caller.workspace, fields.policy)


def _lock(key: GatewayKey) -> GatewayKey:
    locked = GatewayKey.objects.select_for_update().get(pk=key.pk)
    if locked.revoked_at is not None:
        raise Conflict("This gateway key was revoked; it cannot be changed any more.")
    return locked


def _set(key: GatewayKey, fields: KeyChange) -> set[str]:
    """Set what `fields` has on `key`, unsaved; the names of the columns to save."""
    limits = set_limits(key, fields)
    others = fields.model_fields_set - limits
    for name in others:
        value = getattr(fields, name)
        if value is None and name in BLANK:
            value = ""
        if value is None and name == "scopes":
            value = all_scopes()
        setattr(key, name, value)
    return limits | others


def _facts(key: GatewayKey) -> audit.Facts:
    """What the audit trail keeps of a key."""
    names = ("name", "expires_at", "allowed_models", "policy", "privacy_mode", "scopes")
    return {**{name: getattr(key, name) for name in names}, **show_limits(key)}


def _secret_facts(key: GatewayKey) -> audit.Facts:
    """The newest secret's ends, and its fingerprint: the beginning of the keyed hash that is stored of it."""
    newest = key.secrets.latest("created_at", "id")
    return {"secret": str(newest), "fingerprint": bytes(newest.digest)[: vault.FINGERPRINT_BYTES].hex()}


def _add_secret(key: GatewayKey, expires_at: datetime | None = None) -> str:
    secret = tokens.generate()
    KeySecret.objects.create(
        key=key,
        digest=tokens.digest(secret),
        prefix=secret[: tokens.SHOWN_PREFIX],
        last4=secret[-tokens.SHOWN_END :],
        expires_at=expires_at,
    )
    return secret
