"""What can be done to a provider. Callers have checked the role; the provider is of the caller's workspace."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from yarl import URL

from accounts import audit
from accounts.access import Caller, scoped
from accounts.events import raise_event
from gateway_project.lib.database import constraint_of
from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound
from gateway_project.lib.net import Destination, look_up
from gateway_project.lib.schemas import parse
from keys import probe, queries, vault
from keys.kinds import KINDS, Kind, api_base
from keys.models import Locality, Provider
from keys.schemas import NewProvider, ProviderChange

logger = logging.getLogger(__name__)

# Seconds: a creation must not keep its user waiting for a server that does not answer, a test may.
CREATION_PATIENCE = 3.0
TEST_PATIENCE = 10.0
# Each process keeps every provider's list of models in memory, and each round of discovery asks every provider.
MAX_PROVIDERS = 100


def create_provider(caller: Caller, data: NewProvider | Mapping[str, Any]) -> Provider:
    """A new provider, already asked for its models if it answers at once (`last_error` says why not).

    Raises `InvalidRequest` naming the field, `Conflict` when the name is taken or the workspace has `MAX_PROVIDERS`.
    """
    fields = parse(NewProvider, data)
    if scoped(Provider.objects.all(), caller).count() >= MAX_PROVIDERS:
        raise Conflict(f"A workspace has at most {MAX_PROVIDERS} providers; remove one first.")
    provider = Provider(workspace=caller.workspace, created_by=caller.user, kind=fields.kind)
    _set(provider, fields)
    with transaction.atomic():
        _save(provider, force_insert=True)
        audit.record(caller, "provider.created", provider, new=audit_facts(provider))
    _ask(provider, CREATION_PATIENCE)
    return provider


def change_provider(caller: Caller, provider: Provider, data: ProviderChange | Mapping[str, Any]) -> Provider:
    """Set the fields that `data` has. With a new address or secret, or enabled again, it is asked for its models.

    Raises `InvalidRequest` naming the field, `Conflict` when the name is taken or the provider comes from the
    environment (only `enabled` of such a one can be changed), `NotFound` when it was removed just now.
    """
    fields = parse(ProviderChange, data)
    changed = fields.model_fields_set
    if provider.from_environment and changed - {"enabled"}:
        raise Conflict("This provider comes from the environment; only 'enabled' can be changed here.")
    with transaction.atomic():
        locked = Provider.objects.select_for_update().filter(pk=provider.pk).first()
        if locked is None:
            raise NotFound("There is no such provider.")
        provider, was_enabled = locked, locked.enabled
        with audit.changes(caller, "provider.changed", provider, audit_facts):
            _set(provider, fields)
            if changed:
                _save(provider)
    if changed & {"base_url", "api_key"} or (provider.enabled and not was_enabled):
        _ask(provider, CREATION_PATIENCE)
    return provider


@transaction.atomic
def remove_provider(caller: Caller, provider: Provider) -> None:
    """Remove `provider` with its secret. Raises `Conflict` when it comes from the environment."""
    if provider.from_environment:
        raise Conflict("This provider comes from the environment: unset its variable, or disable it here.")
    audit.record(caller, "provider.removed", provider, old=audit_facts(provider))
    provider.delete()


def test_provider(provider: Provider) -> probe.ProbeResult:
    """Ask `provider` how it is, and keep what it answered."""
    return _ask(provider, TEST_PATIENCE)


def _ask(provider: Provider, seconds: float) -> probe.ProbeResult:
    facts = queries.facts(provider)
    # A server may take its time; the pool's few connections are for others meanwhile.
    if not connection.in_atomic_block:
        connection.close()
    result = probe.probe(facts.kind, facts.base_url, facts.secret, seconds, local=facts.local)
    record_probe(provider, result)
    return result


def record_probe(provider: Provider, result: probe.ProbeResult) -> None:
    """Keep the models that `provider` listed, or why it did not. Its last known models stay when it fails."""
    provider.last_error = result.error[:500]
    # Not save(): meanwhile the provider may have been removed, or led to another server.
    same = Provider.objects.filter(pk=provider.pk, base_url=provider.base_url)
    if not result.ok:
        if same.update(last_error=provider.last_error) and result.refused:
            _raise_refused(provider)
        return
    provider.discovered_at = timezone.now()
    same.update(last_error=provider.last_error, discovered_at=provider.discovered_at)
    known = {
        "discovered_models": list(result.models),
        "loaded_models": None if result.loaded is None else list(result.loaded),
        "model_details": {name: listed.as_json() for name, listed in result.listed.items()},
    }
    for name, value in known.items():
        setattr(provider, name, value)
    # A long list is not written again every half minute for being the same.
    same.exclude(**known).update(**known)


def _raise_refused(provider: Provider) -> None:
    """Tell the workspace's people that `provider` refuses its secret: once for each secret, until it takes it again."""
    taken = provider.discovered_at.isoformat() if provider.discovered_at else "never"
    once = f"provider:{provider.pk}:refused:{_fingerprint(provider)}:{taken}"
    data = {"provider_id": str(provider.pk), "name": provider.name, "reason": provider.last_error}
    raise_event(provider.workspace_id, "provider.refused", once, data)


def recheck_locality(provider: Provider) -> None:
    """Take `local` from a provider whose host leads to a public address by now: what a name means can change."""
    if provider.locality != Locality.LOCAL or not provider.base_url:
        return
    try:
        destination = look_up(provider.base_url, settings.ALLOWED_PRIVATE_HOSTS, settings.ENVIRONMENT_HOSTS)
    except ValueError:
        return  # no longer allowed: no connection to it is made at all
    if destination.resolved and not destination.local:
        logger.warning("provider %s is not local any more: its host resolves to a public address", provider.id)
        provider.locality = Locality.CLOUD
        same = Provider.objects.filter(pk=provider.pk, base_url=provider.base_url)
        with transaction.atomic():
            if same.update(locality=Locality.CLOUD):
                facts = {"locality": Locality.LOCAL}, {"locality": Locality.CLOUD}
                audit.record(
                    None, "provider.changed", provider, old=facts[0], new=facts[1], workspace=provider.workspace
                )


def audit_facts(provider: Provider) -> audit.Facts:
    """What the audit trail keeps of a provider: of its secret the fingerprint."""
    names = ("kind", "name", "base_url", "locality", "enabled", "from_environment")
    facts = {name: getattr(provider, name) for name in names}
    return {**facts, "models": provider.model_ids, "api_key": _fingerprint(provider)}


def _fingerprint(provider: Provider) -> str | None:
    if provider.secret is None:
        return None
    try:
        return vault.fingerprint(vault.open_(provider.secret))
    except vault.VaultError:  # it can be replaced and removed all the same
        return "unreadable"


# --- Setting fields ------------------------------------------------------------------------------


def _set(provider: Provider, fields: ProviderChange) -> None:
    """Bring `fields` into `provider`, checked together with what it has already."""
    kind = KINDS[provider.kind]
    new, changed = provider._state.adding, fields.model_fields_set
    if kind.wire == "demo" and (fields.api_key or fields.base_url or fields.models):
        raise InvalidRequest("The demo provider takes no api_key, base_url or models.", param="kind")
    if "name" in changed:
        provider.name = fields.name
    if "enabled" in changed:
        provider.enabled = fields.enabled
    if "models" in changed:
        provider.model_ids = fields.models or []
    base_url = (fields.base_url or "") if new or "base_url" in changed else provider.base_url
    if new or changed & {"base_url", "locality"}:
        destination = check_base_url(kind, base_url)
        _keep_secret_at_home(provider, kind, base_url, fields)
        if base_url != provider.base_url:
            provider.forget_models()
        provider.base_url = base_url
        provider.locality = _chosen_locality(kind, destination, fields.locality)
    if new or "api_key" in changed:
        set_secret(provider, kind, fields.api_key)
    if not kind.lists_models and not provider.model_ids:
        raise InvalidRequest(f"models: {kind.label} cannot list its deployments; name them.", param="models")


def check_base_url(kind: Kind, base_url: str, reachable: Sequence[str] = ()) -> Destination | None:
    """Where `base_url` leads; None for a kind's default. Raises `InvalidRequest` when it may not be used."""
    try:
        destination = look_up(base_url, settings.ALLOWED_PRIVATE_HOSTS, reachable) if base_url else None
        api_base(kind, base_url)
    except ValueError as error:
        raise InvalidRequest(f"base_url: {error}", param="base_url") from None
    return destination


def _keep_secret_at_home(provider: Provider, kind: Kind, base_url: str, fields: ProviderChange) -> None:
    """Whoever may change an address must not learn the secret that somebody else stored for another one."""
    if provider.secret is None or "api_key" in fields.model_fields_set:
        return
    if _origin(api_base(kind, base_url)) != _origin(api_base(kind, provider.base_url)):
        raise InvalidRequest(
            "api_key: must be given again when base_url leads to another host; the stored one was not meant for it.",
            param="api_key",
        )


def _origin(url: str) -> URL | None:
    return URL(url).origin() if url else None


def set_secret(provider: Provider, kind: Kind, key: vault.Secret | None) -> None:
    """Seal `key` into `provider`; None takes the secret away, where the kind can do without."""
    if key is None and kind.needs_key:
        raise InvalidRequest(f"api_key: {kind.label} needs one.", param="api_key")
    provider.secret = None if key is None else vault.seal(key.reveal())
    provider.secret_hint = "" if key is None else key.hint


def _chosen_locality(kind: Kind, destination: Destination | None, chosen: str | None) -> Locality:
    possible = kind.wire == "demo" or (destination is not None and destination.local)
    if chosen == Locality.LOCAL and not possible:
        raise InvalidRequest(
            "locality: can be 'local' only where every address of the base_url's host is private or on the "
            "operator's list.",
            param="locality",
        )
    return Locality(chosen) if chosen else default_locality(kind, destination)


def default_locality(kind: Kind, destination: Destination | None) -> Locality:
    """Local is what runs a model itself, on private ground; a proxy of a cloud's API is not."""
    if kind.wire == "demo" or (kind.self_hosted and destination is not None and destination.local):
        return Locality.LOCAL
    return Locality.CLOUD


def _save(provider: Provider, *, force_insert: bool = False) -> None:
    try:
        with transaction.atomic():
            provider.save(force_insert=force_insert)
    except IntegrityError as error:
        if constraint_of(error) != "provider_name_in_workspace":
            raise
        raise Conflict(f"There is a provider named '{provider.name}' already.", param="name") from None
