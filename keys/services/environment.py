"""The providers that the operator named by variables: `OPENAI_API_KEY`, `OLLAMA_BASE_URL`, `BACKEND_KIND`, …

They live in the first workspace, marked as coming from the environment, and follow their variables at each start.
"""

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.models import Workspace
from gateway_project.env import BadEnvironment
from gateway_project.lib.errors import InvalidRequest
from keys import vault
from keys.kinds import KINDS, Kind
from keys.models import Provider
from keys.services.providers import audit_facts, check_base_url, default_locality, set_secret


@dataclass(frozen=True)
class Declared:
    """A provider as variables declare it. `name` is what it is called unless a user has taken that name."""

    name: str
    kind: Kind
    base_url: str = ""
    api_key: vault.Secret | None = None


def declared() -> list[Declared]:
    """What the variables declare. Raises `BadEnvironment` naming the one that is wrong; asks no database."""
    env = settings.ENV
    for name in ("openai_api_key", "anthropic_api_key", "gemini_api_key", "backend_api_key"):
        if not getattr(env, name).isascii() or " " in getattr(env, name):
            raise BadEnvironment(f"{name.upper()}: must be ASCII without spaces, as it travels in a header")
    keys = {"openai": env.openai_api_key, "anthropic": env.anthropic_api_key, "gemini": env.gemini_api_key}
    found = [Declared(kind, KINDS[kind], api_key=vault.Secret(key)) for kind, key in keys.items() if key]
    if env.ollama_base_url:
        found.append(_checked("OLLAMA_BASE_URL", Declared("ollama", KINDS["ollama"], env.ollama_base_url)))
    if env.backend_kind:
        found.append(_backend(KINDS.get(env.backend_kind)))
    return found


def _backend(kind: Kind | None) -> Declared:
    env = settings.ENV
    if kind is None or not kind.lists_models:
        usable = ", ".join(id for id, known in KINDS.items() if known.lists_models)
        raise BadEnvironment(f"BACKEND_KIND: must be one of {usable}")
    if kind.wire == "demo":
        return Declared("backend", kind)
    if kind.needs_key and not env.backend_api_key:
        raise BadEnvironment(f"BACKEND_API_KEY: must be set when BACKEND_KIND is {kind.id}")
    key = vault.Secret(env.backend_api_key) if env.backend_api_key else None
    return _checked("BACKEND_BASE_URL", Declared("backend", kind, env.backend_base_url, key))


def _checked(variable: str, provider: Declared) -> Declared:
    try:
        check_base_url(provider.kind, provider.base_url, settings.ENVIRONMENT_HOSTS)
    except InvalidRequest as error:
        raise BadEnvironment(f"{variable}: {error.message.removeprefix('base_url: ')}") from None
    return provider


@transaction.atomic
def sync_environment_providers() -> None:
    """Bring the first workspace's providers in line with the variables. Safe to call again, and from two processes.

    A user's own providers stay as they are; so does whether one from the environment was disabled. Does nothing while
    there is no workspace. Raises `BadEnvironment`.
    """
    wanted = declared()
    workspace = Workspace.objects.select_for_update().order_by("created_at", "id").first()
    if workspace is None:
        return
    existing = list(Provider.objects.filter(from_environment=True))
    kept = {_sync(workspace, provider, existing).pk for provider in wanted}
    for row in existing:
        if row.pk not in kept:
            audit.record(None, "provider.removed", row, old=audit_facts(row), workspace=row.workspace)
            row.delete()


def _sync(workspace: Workspace, wanted: Declared, existing: list[Provider]) -> Provider:
    """The row of `wanted`, made or changed where it has to be."""
    row = next((row for row in existing if row.workspace_id == workspace.pk and _is(row, wanted)), None)
    old = audit_facts(row) if row is not None else None
    if row is None:
        row = Provider(workspace=workspace, from_environment=True, name=_free_name(workspace, wanted))
    elif _matches(row, wanted):
        return row
    if row.kind != wanted.kind.id or row.base_url != wanted.base_url:
        row.forget_models()
    row.kind, row.base_url, row.last_error = wanted.kind.id, wanted.base_url, ""
    destination = check_base_url(wanted.kind, wanted.base_url, settings.ENVIRONMENT_HOSTS)
    row.locality = default_locality(wanted.kind, destination)
    set_secret(row, wanted.kind, wanted.api_key)
    row.save()
    done = "provider.created" if old is None else "provider.changed"
    audit.record(None, done, row, old=old, new=audit_facts(row), workspace=workspace)
    return row


def _is(row: Provider, wanted: Declared) -> bool:
    return row.name == wanted.name or row.name.startswith(f"{wanted.name}-env")


def _free_name(workspace: Workspace, wanted: Declared) -> str:
    """`ollama`, or `ollama-env`, `ollama-env-2`, … where a user took that for a provider of theirs."""
    taken = {name.lower() for name in workspace.providers.values_list("name", flat=True)}
    names = [wanted.name, f"{wanted.name}-env", *(f"{wanted.name}-env-{n}" for n in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _matches(row: Provider, wanted: Declared) -> bool:
    secret = None if row.secret is None else vault.open_(row.secret)
    return (row.kind, row.base_url, secret) == (wanted.kind.id, wanted.base_url, wanted.api_key)
