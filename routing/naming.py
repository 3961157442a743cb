"""What the `model` of a request stands for: a policy, one target, or every target that serves a model."""

from collections.abc import Iterator
from difflib import get_close_matches

from gateway_project.lib.errors import ModelNotFound, PermissionDenied
from routing.embeddings import house
from routing.exchange import Exchange
from routing.policies import PolicyFacts
from routing.providers.base import Target
from routing.snapshot import WorkspaceTargets

AUTO = "auto"
POLICY_PREFIX = "policy/"
# Characters of a policy's name; a longer one resembles none.
LONGEST_POLICY = 60


def is_name(model: str) -> bool:
    """Whether `model` names a model, rather than leaving the choice to a policy."""
    return model != AUTO and not model.startswith(POLICY_PREFIX)


def chosen(exchange: Exchange, view: WorkspaceTargets) -> PolicyFacts:
    """The policy in force: the one that the request names, else the key's, else the workspace's default.

    Raises `ModelNotFound` for a name without a policy, and `PermissionDenied` when the key's own policy is gone: it
    may have been a strict one, so the key does not fall back to a looser one, whatever the request names.
    """
    policy = own_policy(exchange, view) or view.default_policy
    model = exchange.model
    if model.startswith(POLICY_PREFIX):
        name = model.removeprefix(POLICY_PREFIX)
        named = view.policy(name)
        if named is None:
            raise ModelNotFound(_no_policy(name, view), param="model")
        return named
    return policy


def _no_policy(name: str, view: WorkspaceTargets) -> str:
    known = {found.lower(): found for found in view.policy_names}
    near = get_close_matches(name.lower(), known, cutoff=0.5) if len(name) <= LONGEST_POLICY else []
    if not near:
        return f"There is no policy '{name}' here; GET /v1/models lists those that there are."
    meant = " or ".join(f"'{POLICY_PREFIX}{known[found]}'" for found in near)
    return f"There is no policy '{name}' here. Did you mean {meant}? GET /v1/models lists all."


def own_policy(exchange: Exchange, view: WorkspaceTargets) -> PolicyFacts | None:
    """The policy that the key carries, also by the name that it had when the key was read; None when it has none.

    Raises `PermissionDenied` when that policy is gone.
    """
    own = exchange.caller.policy if exchange.caller is not None else ""
    if not own:
        return None
    found = view.policy(own) or view.former_policies.get(own.lower())
    if found is None:
        raise PermissionDenied(f"This gateway key is bound to the policy '{own}', which does not exist any more.")
    return found


def targets_named(model: str, view: WorkspaceTargets) -> tuple[Target, ...]:
    """The targets that a name stands for: a bare model id, or `<provider>/<model>`. Raises `ModelNotFound`."""
    found = _find(model, view)
    if not found:
        raise ModelNotFound(why_absent(model, view), param="model")
    return found


def embedders_named(model: str, view: WorkspaceTargets, *, strict: bool) -> tuple[Target, ...]:
    """The targets that a name stands for in a request for embeddings: the workspace's, else the gateway's own model.

    Both where `strict` forbids the workspace's. `auto` and policies' names stand for the gateway's own text model, and
    a name after `gateway/` for nothing but the gateway's. Raises `ModelNotFound`.
    """
    if not is_name(model):
        return (house.default(),)
    found = () if house.is_called(model) else _find(model, view)
    if not found or (strict and not any(target.local for target in found)):
        found += house.named(model)
    if not found:
        raise ModelNotFound(why_absent(model, view), param="model")
    return found


def fallbacks_of(policy: PolicyFacts, view: WorkspaceTargets, notes: list[str]) -> Iterator[tuple[int, Target]]:
    """The targets that the policy's `fallbacks` name, with their place; those of one name share a place.

    What is skipped is told in `notes`: a model that is gone, the demo.
    """
    for place, name in enumerate(policy.fallbacks, 1):
        found = _find(name, view) if is_name(name) else ()
        if not found:
            notes.append(f"The fallback '{name}' of the policy '{policy.name}' is skipped: {_why_skipped(name, view)}.")
        for target in found:
            if target.kind.wire == "demo":
                notes.append(f"The fallback '{name}' is skipped: the demo is never a fallback.")
            else:
                yield place, target


def _why_skipped(name: str, view: WorkspaceTargets) -> str:
    for provider, models in view.disabled.items():
        if provider == name.partition("/")[0] or name in models:
            return f"its provider '{provider}' is disabled"
    return "no enabled provider serves it" if is_name(name) else "it names no model"


def _find(model: str, view: WorkspaceTargets) -> tuple[Target, ...]:
    name, slash, rest = model.partition("/")
    provider = view.providers.get(name) if slash else None
    # A provider's own model first: another one could list `<provider>/<model>` as a name and be sent its requests.
    if provider is not None:
        for target in view.targets[name]:
            if target.model == rest:
                return (target,)
    found = view.by_model.get(model)
    if found is not None:
        return found
    # A list that the user made is final. What a provider lists itself is not: clouds serve aliases that they
    # do not list, so the provider is the judge.
    if provider is not None and rest and not provider.model_ids and provider.kind.wire != "demo":
        return (view.unlisted(provider, rest),)
    return ()


def why_absent(model: str, view: WorkspaceTargets) -> str:
    """Why nobody here is asked for `model`, for the people of the workspace."""
    name = model.partition("/")[0]
    for provider, models in view.disabled.items():
        if provider == name or model in models:
            return f"The model '{model}' cannot be asked: its provider '{provider}' is disabled."
    if place := house.endpoint_of(model):
        return f"The model '{model}' is asked at {place}, and nowhere else."
    return f"The model '{model}' does not exist here; GET /v1/models lists those that do."
