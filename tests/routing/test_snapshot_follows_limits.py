"""Limits and budgets of a key, its maker and its workspace reach the request path, each change within five seconds."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.access import Caller
from accounts.models import Membership, Role, Workspace
from keys import queries, tokens
from keys.limits import Scope
from keys.models import GatewayKey, KeySecret
from routing.snapshot import Listener, Snapshot
from tests.conftest import MakeUser

pytestmark = pytest.mark.django_db(transaction=True)


def make_key(owner: Caller, **fields: object) -> GatewayKey:
    secret = tokens.generate()
    key = GatewayKey.objects.create(workspace=owner.workspace, created_by=owner.user, name="ci", **fields)
    KeySecret.objects.create(key=key, digest=tokens.digest(secret), prefix=secret[:8], last4=secret[-4:])
    return key


@pytest.fixture
def snapshot(owner: Caller) -> Iterator[Snapshot]:
    followed = Snapshot()
    listener = Listener(followed)
    listener.start()
    assert followed.ready.wait(5)
    yield followed
    listener.stop()


def holding(key: GatewayKey) -> tuple[Scope, ...]:
    """What holds for `key`, as a reading has it."""
    (facts,) = queries.gateway_keys([str(key.id)])
    return facts.limits


def soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_every_process_follows_the_limits_of_key_member_and_workspace(owner: Caller, snapshot: Snapshot) -> None:
    key = make_key(owner)

    def kinds() -> list[tuple[str, int | None]]:
        caller = snapshot.key(str(key.id))
        return [] if caller is None else [(scope.kind, scope.requests) for scope in caller.rates]

    assert soon(lambda: snapshot.key(str(key.id)) is not None)
    assert kinds() == []
    GatewayKey.objects.filter(id=key.id).update(rate_limit_requests=5)
    assert soon(lambda: kinds() == [("key", 5)])
    Membership.objects.filter(user=owner.user, workspace=owner.workspace).update(rate_limit_requests=7)
    assert soon(lambda: kinds() == [("key", 5), ("user", 7)])
    Workspace.objects.filter(id=owner.workspace.id).update(rate_limit_requests=9)
    assert soon(lambda: kinds() == [("key", 5), ("user", 7), ("workspace", 9)])
    Membership.objects.filter(user=owner.user, workspace=owner.workspace).delete()
    assert soon(lambda: kinds() == [("key", 5), ("workspace", 9)])
    Workspace.objects.filter(id=owner.workspace.id).update(rate_limit_requests=None)
    assert soon(lambda: kinds() == [("key", 5)])


def test_money_is_whole_picodollars_and_a_budget_alone_limits_no_rate(owner: Caller) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    key = make_key(
        owner,
        budget_usd=Decimal("123456789012.000000000001"),
        budget_period="month",
        budget_reset_at=at,
        budget_reset_usd=Decimal("0.5"),
    )
    (scope,) = holding(key)
    assert scope.budget_pico == 123456789012_000000000001
    assert (scope.period, scope.reset_at, scope.reset_pico) == ("month", at.timestamp(), 500_000_000_000)
    (facts,) = queries.gateway_keys([str(key.id)])
    assert facts.rates == ()
    assert facts.budgeted


def test_a_key_without_a_limit_of_its_own_takes_the_default(owner: Caller, settings: Settings) -> None:
    settings.RATE_LIMIT_REQUESTS, settings.RATE_LIMIT_WINDOW = 60, 30
    assert [(s.kind, s.requests, s.window) for s in holding(make_key(owner))] == [("key", 60, 30)]
    own = make_key(owner, rate_limit_requests=5, rate_limit_window=10)
    assert [(s.requests, s.window) for s in holding(own)] == [(5, 10)]
    tokens_only = make_key(owner, rate_limit_tokens=500, rate_limit_window=10)
    assert [(s.requests, s.tokens, s.window) for s in holding(tokens_only)] == [(60, None, 30), (None, 500, 10)]
    assert len({s.ref for s in holding(tokens_only)}) == 2
    as_usual = make_key(owner, rate_limit_tokens=500)
    assert [(s.requests, s.tokens, s.window) for s in holding(as_usual)] == [(60, 500, 30)]
    settings.RATE_LIMIT_REQUESTS = 0
    assert holding(make_key(owner)) == ()
    assert [(s.requests, s.tokens) for s in holding(tokens_only)] == [(None, 500)]


def test_a_user_has_other_limits_in_another_workspace(owner: Caller, make_user: MakeUser) -> None:
    other = make_user("elsewhere@example.com")
    Membership.objects.create(user=owner.user, workspace=other.workspace, role=Role.MEMBER, rate_limit_requests=3)
    mine = make_key(owner)
    theirs = make_key(Caller(owner.user, other.workspace, Role.MEMBER))
    assert holding(mine) == ()
    (scope,) = holding(theirs)
    assert scope.ref == f"user:{other.workspace.id}:{owner.user.id}"


def test_the_queries_do_not_grow_with_the_keys(owner: Caller) -> None:
    Workspace.objects.update(rate_limit_tokens=5)
    for _ in range(3):
        make_key(owner, rate_limit_requests=5)
    list(queries.gateway_keys())
    with CaptureQueriesContext(connection) as asked:
        assert len(list(queries.gateway_keys())) == 3
    assert len(asked) == 4
