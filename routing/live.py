"""What the pages of other apps are told of the request path's live state; see `keys.live`."""

from collections.abc import Sequence

from accounts.models import Workspace
from routing import health, snapshot
from routing.embeddings import house


def refused_secrets(workspace: Workspace) -> dict[str, str]:
    """By provider id: why a target of it rests until the secret is changed."""
    providers = {provider.id for provider in snapshot.current.workspace(str(workspace.pk)).providers.values()}
    asked = [state for state in health.current.states() if state.denied and state.key[0] in providers]
    # Looked at once more by key: the secret may have been changed meanwhile.
    return {state.key[0]: state.reason for state in asked if (now := health.current.state(state.key)) and now.denied}


def unserved_models(workspace: Workspace, names: Sequence[str]) -> list[str]:
    """Those of `names`, bare or as `<provider>/<model>`, that nobody here serves: no provider, nor the gateway."""
    view = snapshot.current.workspace(str(workspace.pk))
    served = view.by_model.keys() | {target.id for target in view.all}
    for provider, models in view.disabled.items():
        served |= {*models, *(f"{provider}/{model}" for model in models)}
    return [name for name in names if name not in served and not house.named(name)]
