"""What the cache holds for a workspace and what it saved, by policy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from accounts.access import Caller, scoped
from analytics.models import DailyTotal
from gateway_project.lib.errors import ServiceUnavailable
from routing import queries
from routing.cache import stored
from routing.cache.lookup import current
from routing.cache.semantic import store
from routing.cache.semantic.stats import SemanticStats, semantic_stats
from routing.models import Policy
from routing.policies import BUILT_IN

# Days, this one included, of which hits and misses are shown.
DAYS = 30
HITS = ("hit", "semantic")
MISS = "miss"


@dataclass(slots=True)
class PolicyStats:
    """A policy's share. `id` is "" for the policy that is built in, None for one that is gone or was renamed.

    Entries and bytes are those of this process's memory, of Redis and of the semantic cache, an answer in several
    counted once. Hits, misses and
    savings are the ledger's, of the last `DAYS` days, by the name that the policy had then.
    """

    id: str | None
    name: str
    entries: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    saved_usd: Decimal = Decimal(0)
    # Of the hits, those by meaning; and what is known of how many of such are wrong.
    semantic_hits: int = 0
    semantic: SemanticStats = field(default_factory=SemanticStats)

    @property
    def hit_rate(self) -> float | None:
        """The share of hits in the requests that were looked up; None without any."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None


def stats(caller: Caller) -> list[PolicyStats]:
    """Each policy of the caller's workspace, the one that is built in, and former ones that had hits or misses."""
    known = scoped(Policy.objects.all(), caller).values_list("pk", "name")
    rows = {name: PolicyStats(str(pk), name) for pk, name in known}
    rows.setdefault(BUILT_IN, PolicyStats("", BUILT_IN))
    by_id = {row.id: row for row in rows.values()}
    for policy_id, size in _held(str(caller.workspace.pk)):
        row = by_id.get(policy_id)
        if row is not None:
            row.entries += 1
            row.bytes += size
    for policy_id, known_of in semantic_stats(caller).items():
        if policy_id in by_id:
            by_id[policy_id].semantic = known_of
    workspace_id = str(caller.workspace.pk)
    for policy in queries.policies({workspace_id}).get(workspace_id, queries.WorkspacePolicies()).by_name.values():
        if policy.id in by_id:
            by_id[policy.id].semantic.facts = policy.cache_semantic
    for name, hits, misses, saved, semantic in _used(caller):
        row = rows.setdefault(name or BUILT_IN, PolicyStats(None, name))
        row.hits += hits
        row.misses += misses
        row.saved_usd += saved
        row.semantic_hits += semantic
    return sorted(rows.values(), key=lambda row: row.name)


def _held(workspace_id: str) -> Iterator[tuple[str, int]]:
    """The policy's id and the bytes of each answer that is held."""
    try:
        held = stored.sizes(workspace_id)
    except ServiceUnavailable:  # what is in memory is given all the same
        held = {}
    held = store.sizes(workspace_id) | held
    mine = current.memory.answers().items()
    held |= {key: (answer.policy_id, answer.size) for key, answer in mine if answer.workspace_id == workspace_id}
    yield from held.values()


def _used(caller: Caller) -> Iterator[tuple[str, int, int, Decimal, int]]:
    """By the policy's name: hits, misses, what was saved, and the hits by meaning."""
    since = datetime.now(UTC).date() - timedelta(days=DAYS - 1)
    days = DailyTotal.objects.filter(workspace=caller.workspace, day__gte=since, cache__in=(*HITS, MISS))
    yield from days.values_list("policy").annotate(
        hits=Coalesce(Sum("requests", filter=Q(cache__in=HITS)), 0),
        misses=Coalesce(Sum("requests", filter=Q(cache=MISS)), 0),
        saved=Coalesce(Sum("saved_usd"), Decimal(0)),
        semantic=Coalesce(Sum("requests", filter=Q(cache="semantic")), 0),
    )
