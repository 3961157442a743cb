"""What is known of a workspace's semantic hits, by policy: how many were checked, how many wrong, the threshold."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from accounts.access import Caller, scoped
from routing.cache.semantic import thresholds
from routing.models import SemanticCheck, SemanticThreshold
from routing.policies import SemanticFacts


@dataclass(slots=True)
class SemanticStats:
    """Of the checks of the last `thresholds.DAYS` days; `threshold` is the highest that it has moved to, if it has."""

    checked: int = 0
    wrong: int = 0
    unsure: int = 0
    threshold: float | None = None
    facts: SemanticFacts | None = None

    @property
    def false_hit_rate(self) -> float | None:
        """The share of wrong ones; None before any check."""
        return self.wrong / self.checked if self.checked else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of that share."""
        return thresholds.wilson(self.wrong, self.checked) if self.checked else None


def semantic_stats(caller: Caller) -> dict[str, SemanticStats]:
    """By the policy's id, "" of the one that is built in; those of which nothing is known are not in it."""
    found: dict[str, SemanticStats] = {}
    recent = scoped(SemanticCheck.objects.filter(created_at__gt=timezone.now() - thresholds.DAYS), caller)
    counted = recent.values_list("policy_id").annotate(
        checked=Count("pk", filter=~Q(verdict=thresholds.UNSURE)),
        wrong=Count("pk", filter=Q(verdict=thresholds.WRONG)),
        unsure=Count("pk", filter=Q(verdict=thresholds.UNSURE)),
    )
    for policy_id, checked, wrong, unsure in counted.order_by():
        found[policy_id] = SemanticStats(checked, wrong, unsure)
    for policy_id, value in scoped(SemanticThreshold.objects.all(), caller).values_list("policy_id", "value"):
        row = found.setdefault(policy_id, SemanticStats())
        row.threshold = max(value, row.threshold or 0.0)
    return found
