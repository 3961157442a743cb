"""How alike two prompts must be: where a threshold begins, and how it moves by itself.

It moves by what `checks` found of the hits of a policy. Up, when more of them are wrong than the policy allows; back
down, slowly, when that many checks say that fewer are. Never below what the policy, or the model, begins with.
"""

import logging
import math
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import Workspace
from routing.models import SemanticCheck, SemanticThreshold
from routing.policies import SemanticFacts

logger = logging.getLogger(__name__)

# The least cosine at which texts mean the same, by model: each spreads its vectors in its own way.
BASES = {"all-minilm-l6-v2": 0.865, "bge-m3": 0.90, "embeddinggemma-300m": 0.90}
BASE = 0.92
# Steps of a threshold, up and down; it is never above `MOST`.
UP, DOWN = 0.01, 0.005
STEPS_AT_ONCE = 2
MOST = 0.99
# Checks that are looked at, and those since the last move without which it does not go down.
WINDOW = 1000
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = timedelta(days=90)
ENOUGH = 300
# Of a 95 % interval.
Z = 1.96

RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"


def base(facts: SemanticFacts, model: str) -> float:
    """Where a policy's threshold begins with vectors of `model`."""
    if facts.threshold is not None:
        return facts.threshold
    name = model.rpartition("/")[2].lower()
    return BASES.get(name, BASE)


def wilson(wrong: int, checked: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `wrong` of `checked` were seen (Wilson 1927); all of it without any."""
    if not checked:
        return 0.0, 1.0
    share, z2 = wrong / checked, Z * Z
    middle = (share + z2 / (2 * checked)) / (1 + z2 / checked)
    half = Z / (1 + z2 / checked) * math.sqrt(share * (1 - share) / checked + z2 / (4 * checked * checked))
    return max(0.0, middle - half), min(1.0, middle + half)


def moved(current: float, start: float, limit: float, checks: list[tuple[float, bool]], since: int) -> float:
    """Where a threshold goes from `current`. Pure.

    `start` is what it never goes below, `limit` the share of wrong hits that is allowed; `checks` are similarities and
    whether they were wrong, `since` of which were made after the last move.
    """
    wrong, checked = _counted(checks, current)
    low, high = wilson(wrong, checked)
    if low > limit or (wrong >= 2 and wrong > limit * checked):
        for step in range(1, STEPS_AT_ONCE + 1):
            raised = min(current + step * UP, MOST)
            left, of = _counted(checks, raised)
            if left <= limit * of:
                break
        return round(max(raised, current), 6)
    if current > start and high <= limit and since >= ENOUGH:
        return round(max(start, current - DOWN), 6)
    return current


def _counted(checks: list[tuple[float, bool]], threshold: float) -> tuple[int, int]:
    above = [wrong for similarity, wrong in checks if similarity >= threshold]
    return sum(above), len(above)


def move(workspace_id: str, policy_id: str, policy: str, space: str, start: float, limit: float) -> None:
    """Move a policy's threshold by what is known of its hits; the trail keeps why. In a thread."""
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True).filter(pk=workspace_id).first()
        if workspace is None:
            return
        place = {"workspace": workspace, "policy_id": policy_id, "space": space}
        row = SemanticThreshold.objects.filter(**place).first()
        row = row or SemanticThreshold(**place, value=start, moved_at=NEVER)
        current = max(row.value, start)
        recent = SemanticCheck.objects.filter(**place, created_at__gt=timezone.now() - DAYS).exclude(verdict=UNSURE)
        seen = list(recent.order_by("-created_at").values_list("similarity", "verdict", "created_at")[:WINDOW])
        checks = [(similarity, verdict == WRONG) for similarity, verdict, _ in seen]
        since = sum(made_at > row.moved_at for _, _, made_at in seen)
        value = moved(current, start, limit, checks, since)
        if value == current:
            return
        row.value, row.moved_at = value, timezone.now()
        row.save()
        wrong, checked = _counted(checks, current)
        facts = {"policy": policy, "false_hits": f"{wrong} of {checked}", "limit": limit}
        audit.record(
            None, "cache.threshold_moved", "cache", old={"threshold": current}, new={"threshold": value, **facts},
            workspace=workspace,
        )  # fmt: skip
    logger.info(
        "the semantic threshold of policy '%s' moved from %.3f to %.3f: %s of %s hits were wrong",
        policy, current, value, wrong, checked,
    )  # fmt: skip
