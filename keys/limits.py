"""The limits and budgets that hold for a gateway key: its own, those of the member who made it, its workspace's."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from django.conf import settings
from django.db.models import F, Q, QuerySet

from accounts.models import Membership, Workspace

Kind = Literal["key", "user", "workspace"]

PICO_PER_USD = Decimal(10**12)

# What is read of a limited row, in the order in which `scope` takes it.
COLUMNS = (
    "rate_limit_requests",
    "rate_limit_window",
    "rate_limit_tokens",
    "rate_limit_streams",
    "budget_usd",
    "budget_period",
    "budget_reset_at",
    "budget_reset_usd",
    "budget_since",
)
_ANY = (
    Q(rate_limit_requests__isnull=False)
    | Q(rate_limit_tokens__isnull=False)
    | Q(rate_limit_streams__isnull=False)
    | Q(budget_usd__isnull=False)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What limits and a budget hold for. None is no limit; `window` is in seconds, for requests and for tokens.

    `ref` is its name in this installation: a user has other limits in each workspace. Money is in picodollars.
    """

    kind: Kind
    id: str
    ref: str
    name: str
    requests: int | None = None
    window: int = 60
    tokens: int | None = None
    streams: int | None = None
    budget_pico: int | None = None
    period: str = ""
    # When its spending was last set back (Unix seconds), and by how much.
    reset_at: float | None = None
    reset_pico: int = 0
    # `ref`, told apart from a budget that was taken away before: what was spent meanwhile was held for nobody, so what
    # is known of that one is not true of this.
    account: str = ""

    def __post_init__(self) -> None:
        if not self.account:
            object.__setattr__(self, "account", self.ref)

    @property
    def rated(self) -> bool:
        """Whether anything but a budget limits it."""
        return self.requests is not None or self.tokens is not None or self.streams is not None


def of_key(id_: str, name: str, values: Collection[Any]) -> tuple[Scope, ...]:
    """What limits one key: its own limits, and without a limit of requests among them the installation's default.

    The default holds in its own window: a key's limit of tokens an hour makes it no limit of requests an hour.
    """
    ref = f"key:{id_}"
    requests, window, *others = values
    default, usual = settings.RATE_LIMIT_REQUESTS, settings.RATE_LIMIT_WINDOW
    if requests is not None or not default:
        own = scope("key", id_, ref, name, values)
        return () if own is None else (own,)
    if window in (None, usual):
        both = scope("key", id_, ref, name, (default, usual, *others))
        return () if both is None else (both,)
    own = scope("key", id_, ref, name, values)
    general = Scope(kind="key", id=id_, ref=f"{ref}:default", name=name, requests=default, window=usual)
    return (general,) if own is None else (general, own)


def scope(kind: Kind, id_: str, ref: str, name: str, values: Collection[Any]) -> Scope | None:
    """The scope whose row has these `values` of `COLUMNS`; None when nothing limits it."""
    requests, window, tokens, streams, budget, period, reset_at, reset_usd, since = values
    if requests is None and tokens is None and streams is None and budget is None:
        return None
    return Scope(
        kind=kind,
        id=id_,
        ref=ref,
        name=name,
        requests=requests,
        window=window or settings.RATE_LIMIT_WINDOW,
        tokens=tokens,
        streams=streams,
        budget_pico=None if budget is None else pico(budget),
        period=period,
        reset_at=None if reset_at is None else reset_at.timestamp(),
        reset_pico=pico(reset_usd),
        account=ref if since is None else f"{ref}@{since.timestamp():.6f}",
    )


def pico(usd: Decimal) -> int:
    """An amount in picodollars, which every amount of the database is a whole number of."""
    return int(usd * PICO_PER_USD)


class Shared:
    """The limits of members and of workspaces, for the keys of these workspaces or of all: two queries."""

    def __init__(self, workspaces: Collection[str] | None = None) -> None:
        self._members: dict[tuple[str, str], Scope] = {}
        self._workspaces: dict[str, Scope] = {}
        members = Membership.objects.annotate(email=F("user__email"))
        for workspace, user, email, *values in _rows(members, workspaces, "workspace_id", "user_id", "email"):
            found = scope("user", user, f"user:{workspace}:{user}", email, values)
            if found is not None:
                self._members[workspace, user] = found
        for workspace, name, *values in _rows(Workspace.objects.all(), workspaces, "id", "name"):
            found = scope("workspace", workspace, f"workspace:{workspace}", name, values)
            if found is not None:
                self._workspaces[workspace] = found

    def of(self, workspace_id: str, user_id: str) -> Iterator[Scope]:
        """Those that hold for a key of this workspace that this user made."""
        member, workspace = self._members.get((workspace_id, user_id)), self._workspaces.get(workspace_id)
        if member is not None:
            yield member
        if workspace is not None:
            yield workspace


def _rows(
    rows: QuerySet[Any, Any], workspaces: Collection[str] | None, workspace: str, *others: str
) -> Iterator[list[Any]]:
    """Of the rows with any limit: the workspace's id, the `others` (as text) and `COLUMNS`."""
    limited = rows.filter(_ANY)
    if workspaces is not None:
        limited = limited.filter(**{f"{workspace}__in": workspaces})
    for row in limited.values_list(workspace, *others, *COLUMNS):
        named = 1 + len(others)
        yield [*map(str, row[:named]), *row[named:]]
