"""The privacy rule, in the one place where every choice of a target passes: a strict call stays in the house."""

from enum import IntEnum

from gateway_project.lib.errors import PermissionDenied
from routing.decision import Decision
from routing.exchange import Exchange
from routing.naming import own_policy
from routing.providers.base import Target
from routing.snapshot import WorkspaceTargets

STRICT, CONFIDENTIAL, INTERNAL = "strict", "confidential", "internal"


class Privacy(IntEnum):
    """How far a request may go. The greater, the stricter."""

    ANYWHERE = 0
    # Local targets first, the cloud when none of them answers.
    LOCAL_FIRST = 1
    LOCAL_ONLY = 2


# To look a member up in an enumeration takes as long as all of the rule.
ANYWHERE, LOCAL_FIRST, LOCAL_ONLY = Privacy


def privacy_of(exchange: Exchange, view: WorkspaceTargets) -> Privacy:
    """The strictest of what the key, its policy, the policy in force, the request and its documents' library say.

    The key's own policy counts also where the request names another one: it may have been given for its strictness.
    Raises `PermissionDenied` when that is gone.
    """
    wishes, policy, caller = exchange.wishes, exchange.policy, exchange.caller
    if wishes.privacy_mode == STRICT or policy.privacy_mode == STRICT or wishes.sensitivity == CONFIDENTIAL:
        return LOCAL_ONLY
    if caller is not None and caller.privacy_mode == STRICT:
        return LOCAL_ONLY
    if exchange.grounding is not None and exchange.grounding.strict:
        return LOCAL_ONLY
    own = own_policy(exchange, view) or policy
    if own.privacy_mode == STRICT:
        return LOCAL_ONLY
    if wishes.sensitivity == INTERNAL:
        may_leave = policy.internal_may_leave and own.internal_may_leave
        return LOCAL_FIRST if may_leave else LOCAL_ONLY
    return ANYWHERE


def guard(decision: Decision | None, target: Target) -> None:
    """The last look before a request is sent to `target`: whatever chose it, a strict call stays in the house."""
    if decision is not None and decision.local_only and not target.local:
        raise PermissionDenied(
            f"This request must stay on local models, and '{target.id}' is not one.", param="privacy_mode"
        )


def forbids(privacy: Privacy, target: Target) -> bool:
    """Whether a request of that privacy may not be sent to `target`."""
    return privacy is LOCAL_ONLY and not target.local
