"""The names of policies that gateway keys carry. Who knows the policies is registered at start: `keys` does not."""

from collections.abc import Callable

from accounts.models import Workspace

# (workspace, name) → the policy's name as it is written. Raises `InvalidRequest` when there is no such policy.
PolicyChecker = Callable[[Workspace, str], str]

_checker: PolicyChecker | None = None


def register_policy_checker(checker: PolicyChecker) -> None:
    """Have `checker` say which policies there are."""
    global _checker
    _checker = checker


def checked_policy(workspace: Workspace, name: str) -> str:
    """The policy that `name` means, as a key keeps it. Raises `InvalidRequest`, or `RuntimeError` when nobody knows."""
    if _checker is None:
        raise RuntimeError("no policy checker is registered; routing/apps.py does that")
    return _checker(workspace, name)
