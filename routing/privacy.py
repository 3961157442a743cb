"""The privacy rule, in the one place where every choice of a target passes: a strict call stays in the house."""

from collections.abc import Iterable

from gateway_project.lib.errors import PermissionDenied
from routing.exchange import Exchange
from routing.providers.base import Target


def permitted(exchange: Exchange, targets: Iterable[Target]) -> list[Target]:
    """Those of `targets` that the strictest of key and request allows.

    Raises `PermissionDenied` when there were targets and privacy leaves none.
    """
    offered = list(targets)
    allowed = [target for target in offered if target.local] if exchange.local_only else offered
    if offered and not allowed:
        raise PermissionDenied(
            "No permitted route: this request must stay on local models, and "
            f"'{exchange.model}' is only to be had from {_names(offered)}.",
            param="privacy_mode",
        )
    return allowed


def _names(targets: list[Target]) -> str:
    return ", ".join(sorted({f"'{target.provider}' ({target.kind.id}, cloud)" for target in targets}))
