"""Which targets may answer a request, and in which order: filter, then order."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway_project.lib.errors import ModelNotFound, NoAvailableModel, PermissionDenied, UnsupportedByBackend
from routing import privacy
from routing.exchange import Exchange
from routing.health import Health
from routing.providers.base import Target
from routing.snapshot import WorkspaceTargets, make_target

AUTO = "auto"
POLICY_PREFIX = "policy/"


@dataclass(frozen=True, slots=True)
class Route:
    """The targets to try, in order. `named`: the client named the model, so its absence is the client's fault."""

    targets: list[Target]
    named: bool


def route(exchange: Exchange, workspace: WorkspaceTargets, health: Health) -> Route:
    """Choose for `exchange` among the targets of its workspace.

    Raises `ModelNotFound`, `PermissionDenied` (the key's models or privacy forbid every one),
    `UnsupportedByBackend` (none of the kinds can do what is asked), `NoAvailableModel` (nothing is enabled).
    """
    model = exchange.model
    named = model != AUTO
    targets = _named(model, workspace) if named else _automatic(workspace)
    targets = _allowed(exchange, targets)
    targets = privacy.permitted(exchange, targets)
    targets = _capable(exchange, targets)
    return Route(health.well_first(targets), named)


def _automatic(workspace: WorkspaceTargets) -> list[Target]:
    if not workspace.automatic:
        raise NoAvailableModel(
            "This workspace has no enabled provider with a model to ask: add one in the console. "
            "One that was just added is asked for its models within a minute."
        )
    return list(workspace.automatic)


def _named(model: str, workspace: WorkspaceTargets) -> list[Target]:
    """The targets that a name stands for: a bare model id, or `<provider>/<model>`."""
    if model.startswith(POLICY_PREFIX):
        raise ModelNotFound(f"There is no policy '{model.removeprefix(POLICY_PREFIX)}'.", param="model")
    name, slash, rest = model.partition("/")
    provider = workspace.providers.get(name) if slash else None
    # A provider's own model first: another one could list `<provider>/<model>` as a name and be sent its requests.
    if provider is not None:
        for target in workspace.targets[name]:
            if target.model == rest:
                return [target]
    found = workspace.by_model.get(model)
    if found is not None:
        return list(found)
    # A list that the user made is final. What a provider lists itself is not: clouds serve aliases that they
    # do not list, so the provider is the judge.
    if provider is not None and rest and not provider.model_ids and provider.kind.wire != "demo":
        return [make_target(provider, rest)]
    raise ModelNotFound(_why_absent(model, workspace), param="model")


def _why_absent(model: str, workspace: WorkspaceTargets) -> str:
    name = model.partition("/")[0]
    for provider, models in workspace.disabled.items():
        if provider == name or model in models:
            return f"The model '{model}' cannot be asked: its provider '{provider}' is disabled."
    return f"The model '{model}' does not exist here; GET /v1/models lists those that do."


def _allowed(exchange: Exchange, targets: list[Target]) -> list[Target]:
    permitted = exchange.caller.allowed_models if exchange.caller else None
    if permitted is None or exchange.model in permitted:
        return targets
    allowed = [target for target in targets if target.model in permitted or target.id in permitted]
    if not allowed:
        raise PermissionDenied(f"This gateway key may not use the model '{exchange.model}'.", param="model")
    return allowed


def needed(exchange: Exchange) -> Iterable[str]:
    """What a kind must be able to do for this request, in the vocabulary of `Kind.capabilities`."""
    yield exchange.endpoint.capability
    if exchange.stream:
        yield "streaming"
    if exchange.body.get("tools"):
        yield "tools"
    if exchange.label is not None and exchange.label.task == "vision":
        yield "vision"


def _capable(exchange: Exchange, targets: list[Target]) -> list[Target]:
    needs = frozenset(needed(exchange))
    able = [target for target in targets if needs <= target.kind.capabilities]
    if not able:
        kind = targets[0].kind
        lacking = ", ".join(sorted(needs - kind.capabilities))
        raise UnsupportedByBackend(f"'{targets[0].provider}' is of the kind '{kind.id}', which lacks: {lacking}.")
    return able
