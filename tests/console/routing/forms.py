"""What the form of a policy sends, and what a policy says then."""

from routing.models import Policy

# What the form sends for a policy that says what is built in.
BALANCED: dict[str, object] = {
    "cost": 40, "quality": 35, "speed": 25, "classifier": "rules",
    "max_false_hits": 1, "check_share": 2, "connect": 5, "first_byte": 120, "idle": 60, "total": 600,
}  # fmt: skip


def says(policy: Policy) -> dict[str, object]:
    policy.refresh_from_db()
    document: dict[str, object] = policy.versions.get(version=policy.version).document
    return document
