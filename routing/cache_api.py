"""`/api/routing/cache`: what the cache holds and saved, by policy, and taking answers back."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from accounts.access import Action, Caller, get_or_404, require, scoped
from accounts.auth import api_auth
from gateway_project.lib.errors import InvalidRequest, NotFound
from gateway_project.lib.pagination import ListOf, PageQuery, paginate_named
from gateway_project.lib.schemas import Strict, money
from keys.models import GatewayKey
from routing.cache.purge import Purge, purge
from routing.cache.stats import PolicyStats, stats
from routing.models import Policy
from routing.policies import BUILT_IN

router = Router(auth=api_auth, tags=["Routing"])

Name = Annotated[str, Field(min_length=1, max_length=420)]


class Authenticated(HttpRequest):
    """A request that `api_auth` let in."""

    auth: Caller


class SemanticOut(Schema):
    """What is known of the semantic hits, by those that were answered afresh in the last 90 days."""

    hits: int = Field(description="Of the last 30 days.")
    checked: int
    wrong: int
    unsure: int = Field(description="Checked, and neither right nor wrong: not counted in `checked`.")
    false_hit_rate: float | None
    interval: list[float] | None = Field(description="The 95 % interval of the rate (Wilson): from, to.")
    limit: float | None = Field(description="Above this rate the threshold rises; null: the policy has no such hits.")
    threshold: float | None = Field(description="What the threshold has moved to by itself; null: as the policy says.")


class CacheOut(Schema):
    """A policy's share of the cache: what is held now, and what it was good for in the last 30 days."""

    policy: str
    policy_id: str | None = Field(description="null for the built-in policy, and for one that is gone or was renamed.")
    entries: int
    bytes: int
    hits: int
    misses: int
    hit_rate: float | None
    saved_usd: str
    semantic: SemanticOut


class PurgeIn(Strict):
    """What to purge: the answers to which all that is named applies; with nothing named, the whole workspace's."""

    key: Name | None = Field(None, description="The id of a gateway key: answers that its requests made.")
    policy: Name | None = Field(None, description="The id or the name of a policy.")
    model: Name | None = Field(
        None, description="A model as `model` or `<provider>/<model>`: that answered, or was asked for."
    )


class PurgeOut(Schema):
    purged: int = Field(description="Answers removed from this process and from Redis; other processes follow suit.")


@router.get("/cache", response=ListOf[CacheOut], summary="Show what the cache holds and saved, by policy")
def show_cache(request: Authenticated, page: Query[PageQuery]) -> dict[str, Any]:
    rows, following = paginate_named(stats(request.auth), lambda row: row.name, limit=page.limit, cursor=page.cursor)
    return {"data": [_shown(row) for row in rows], "next_cursor": following}


@router.post("/cache/purge", response=PurgeOut, summary="Purge answers from the cache")
def purge_cache(request: Authenticated, payload: PurgeIn | None = None) -> dict[str, int]:
    """Takes effect in every process, as a rule at once; answers to requests that are under way are not kept."""
    require(request.auth, Action.MANAGE_ROUTING)
    return {"purged": purge(request.auth, meant(request.auth, payload or PurgeIn.model_validate({})))}


def meant(caller: Caller, payload: PurgeIn) -> Purge:
    """What `payload` names in the caller's workspace. Raises `NotFound` for a key, `InvalidRequest` for a policy."""
    return Purge(
        str(caller.workspace.pk),
        None if payload.key is None else _key_id(caller, payload.key),
        None if payload.policy is None else _policy_id(caller, payload.policy),
        payload.model,
    )


def _key_id(caller: Caller, named: str) -> str:
    try:
        return str(get_or_404(GatewayKey.objects.all(), caller, named).pk)
    except NotFound:
        raise NotFound(f"key: there is no gateway key with the id '{named}'.", param="key") from None


def _policy_id(caller: Caller, named: str) -> str:
    """The id of a policy that is named by it or by its name; "" for the one that is built in."""
    for pk, name in scoped(Policy.objects.all(), caller).values_list("pk", "name"):
        if named in (str(pk), name):
            return str(pk)
    if named == BUILT_IN:
        return ""
    raise InvalidRequest(f"policy: there is no policy '{named}'.", param="policy")


def _shown(row: PolicyStats) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ("entries", "bytes", "hits", "misses", "hit_rate")}
    named = {"policy": row.name, "policy_id": row.id or None}
    return {**own, **named, "saved_usd": money(row.saved_usd), "semantic": _semantic(row)}


def _semantic(row: PolicyStats) -> dict[str, Any]:
    known = row.semantic
    counted = {name: getattr(known, name) for name in ("checked", "wrong", "unsure", "false_hit_rate", "threshold")}
    limit = None if known.facts is None else known.facts.max_false_hits
    interval = None if known.interval is None else list(known.interval)
    return {**counted, "hits": row.semantic_hits, "interval": interval, "limit": limit}
