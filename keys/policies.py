"""The names of policies that gateway keys carry. Who knows the policies is registered at start: `keys` does not."""

from collections.abc import Callable

from accounts.models import Workspace

# (workspace, name) → the policy's name as it is written. Raises `InvalidRequest` when there is no such policy.
PolicyChecker = Callable[[Workspace, str], str]
# workspace → the names of its policies
PolicyLister = Callable[[Workspace], list[str]]

_checker: PolicyChecker | None = None
_lister: PolicyLister | None = None


def register_policies(checker: PolicyChecker, lister: PolicyLister) -> None:
    """Have `checker` say whether there is a policy, and `lister` which there are."""
    global _checker, _lister
    _checker, _lister = checker, lister


def policy_names(workspace: Workspace) -> list[str]:
    """The names of the policies that a key of the workspace may carry, sorted."""
    return sorted(_lister(workspace), key=str.lower) if _lister is not None else []


def checked_policy(workspace: Workspace, name: str) -> str:
    """The policy that `name` means, as a key keeps it. Raises `InvalidRequest`, or `RuntimeError` when nobody knows."""
    if _checker is None:
        raise RuntimeError("no policy checker is registered; routing/apps.py does that")
    return _checker(workspace, name)
