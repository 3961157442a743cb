"""Reads: what the request path and the pages need to know of keys and providers."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.models import Workspace
from accounts.spending import spending_of
from keys import limits, vault
from keys.kinds import KINDS, Kind, api_base
from keys.limits import Scope
from keys.models import GatewayKey, KeySecret, Locality, Provider
from keys.probe import ListedModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """A gateway key as the request path sees it. Times are Unix seconds; `digests` pairs each with its expiry."""

    id: str
    workspace_id: str
    # The member who made it, whose limits hold for it, too; "" when they are gone.
    user_id: str
    name: str
    digests: tuple[tuple[bytes, float | None], ...] = field(repr=False)
    expires_at: float | None
    revoked: bool
    # None: every model.
    allowed_models: frozenset[str] | None
    policy: str
    privacy_mode: str
    scopes: frozenset[str]
    # What limits its requests or has a budget: the key, the member who made it, the workspace.
    limits: tuple[Scope, ...] = ()
    # Those of them that limit requests, tokens or streams.
    rates: tuple[Scope, ...] = ()
    # Whether any of them has a budget, so that it may not use what nobody knows the price of.
    budgeted: bool = False
    # Whether its workspace keeps prompts and answers.
    content_kept: bool = False
    # Those of its limits that have a budget: the same object for all of its requests.
    budgets: tuple[Scope, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "budgets", tuple([scope for scope in self.limits if scope.budget_pico is not None]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """A provider as the request path sees it; `base_url` is what the kind's paths hang on."""

    id: str
    workspace_id: str
    name: str
    kind: Kind
    base_url: str
    secret: vault.Secret | None = field(repr=False)
    local: bool
    enabled: bool
    # Named by the user; when there are none, those that the provider listed count.
    model_ids: tuple[str, ...]
    discovered: tuple[str, ...]
    # Those that its server holds in memory; None where it does not say.
    loaded: frozenset[str] | None = None
    # What it says of its models beyond their names.
    listed: Mapping[str, ListedModel] = field(default_factory=dict, repr=False)


def gateway_keys(ids: Collection[str] | None = None) -> Iterator[KeyFacts]:
    """The facts of these keys, or of all: four queries whatever their number, besides the pepper's first reading."""
    vault.pepper()  # so that the request path, which may not ask the database, finds it read
    keys = GatewayKey.objects.all()
    secrets = KeySecret.objects.all()
    if ids is not None:
        keys, secrets = keys.filter(id__in=ids), secrets.filter(key__id__in=ids)
    digests: defaultdict[object, list[tuple[bytes, float | None]]] = defaultdict(list)
    for key_id, digest, expires_at in secrets.values_list("key_id", "digest", "expires_at"):
        digests[key_id].append((bytes(digest), _unix(expires_at)))
    # Not as objects of the model, which would cost more than all the rest of a reading.
    read = keys.values_list(
        "id",
        "workspace_id",
        "created_by_id",
        "name",
        "expires_at",
        "revoked_at",
        "allowed_models",
        "policy",
        "privacy_mode",
        "scopes",
        "workspace__store_content",
        *limits.COLUMNS,
    )
    rows = list(read)
    shared = limits.Shared(None if ids is None else {str(row[1]) for row in rows})
    for row in rows:
        key_id, workspace, user, name, expires_at, revoked_at, allowed_models, *others = row
        policy, privacy_mode, scopes, content_kept, *own = others
        workspace_id, user_id = str(workspace), "" if user is None else str(user)
        holding = (*limits.of_key(str(key_id), name, own), *shared.of(workspace_id, user_id))
        yield KeyFacts(
            id=str(key_id),
            workspace_id=workspace_id,
            user_id=user_id,
            name=name,
            digests=tuple(digests[key_id]),
            expires_at=_unix(expires_at),
            revoked=revoked_at is not None,
            allowed_models=None if allowed_models is None else frozenset(allowed_models),
            policy=policy,
            privacy_mode=privacy_mode,
            scopes=frozenset(scopes),
            limits=holding,
            rates=tuple(scope for scope in holding if scope.rated),
            budgeted=any(scope.budget_pico is not None for scope in holding),
            content_kept=content_kept,
        )


def unkeyed(workspace_id: str, user_id: str) -> KeyFacts:
    """What the gateway itself may do for a workspace, or a member of it ("": nobody): their limits, and no key's."""
    limiting = tuple(limits.Shared({workspace_id}).of(workspace_id, user_id))
    return KeyFacts(
        id="",
        workspace_id=workspace_id,
        user_id=user_id,
        name="",
        digests=(),
        expires_at=None,
        revoked=False,
        allowed_models=None,
        policy="",
        privacy_mode="",
        scopes=frozenset(),
        limits=limiting,
        budgeted=any(scope.budget_pico is not None for scope in limiting),
        content_kept=Workspace.objects.filter(pk=workspace_id, store_content=True).exists(),
    )


def spent_by(keys: Sequence[GatewayKey]) -> dict[UUID, Decimal]:
    """By id, what counts against each key's budget now; without one, what it has spent since it was last reset."""
    budgeted = spending_of([key for key in keys if key.budget_usd is not None])
    return {key.pk: budgeted[key.pk].spent_usd if key.pk in budgeted else key.spent_usd for key in keys}


def keys_naming_policy(workspace_id: UUID, name: str, limit: int) -> list[str]:
    """The names of the gateway keys that name this policy and were not revoked, at most `limit` of them."""
    keys = GatewayKey.objects.filter(workspace_id=workspace_id, policy=name, revoked_at=None)
    return list(keys.order_by("name").values_list("name", flat=True)[:limit])


def providers(ids: Collection[str] | None = None) -> Iterator[ProviderFacts]:
    """The facts of these providers, or of all, oldest first.

    One that cannot be used (a secret that does not open, a kind this version does not know) is left out and
    logged: it must not take the others with it.
    """
    rows = Provider.objects.order_by("id")
    if ids is not None:
        rows = rows.filter(id__in=ids)
    for provider in rows:
        try:
            yield facts(provider)
        except (KeyError, ValueError, vault.VaultError) as error:
            logger.error("provider %s is left out: %s", provider.id, error)


def facts(provider: Provider) -> ProviderFacts:
    """`provider` as the request path sees it. Raises `KeyError`, `ValueError` or `VaultError` if it is unusable."""
    kind = KINDS[provider.kind]
    return ProviderFacts(
        id=str(provider.id),
        workspace_id=str(provider.workspace_id),
        name=provider.name,
        kind=kind,
        base_url=api_base(kind, provider.base_url),
        secret=None if provider.secret is None else vault.open_(provider.secret),
        local=provider.locality == Locality.LOCAL,
        enabled=provider.enabled,
        model_ids=tuple(provider.model_ids),
        discovered=tuple(provider.discovered_models),
        loaded=None if provider.loaded_models is None else frozenset(provider.loaded_models),
        listed={name: ListedModel.from_json(said) for name, said in provider.model_details.items()},
    )


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
