"""Keyset pagination of any model's rows."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models import Workspace
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.pagination import paginate

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


ORDERS = [("-created_at", "-id"), ("created_at", "id"), ("-created_at", "id"), ("created_at", "-name"), ("-id",)]


def fill(count: int, per_moment: int = 3) -> None:
    """Several rows share a moment, so that the second field decides."""
    Workspace.objects.bulk_create(
        Workspace(name=f"{number:03}", created_at=NOON + timedelta(microseconds=number // per_moment))
        for number in range(count)
    )


def walk(limit: int, order: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = paginate(Workspace.objects.all(), order=order, limit=limit, cursor=cursor)
        assert len(page.data) <= limit
        names += [row.name for row in page.data]
        if page.next_cursor is None:
            return names
        assert page.data
        cursor = page.next_cursor


class EveryRowOnce(TestCase):
    @settings(max_examples=25, deadline=None)
    @given(
        count=st.integers(0, 20),
        limit=st.integers(1, 21),
        order=st.sampled_from(
            [
                ("-created_at", "-id"),
                ("created_at", "id"),
                ("-created_at", "id"),
                ("created_at", "-name"),
                ("-id",),
                ("name",),
            ]
        ),
    )
    def test_in_order(self, count: int, limit: int, order: tuple[str, ...]) -> None:
        fill(count)

        assert walk(limit, order) == [row.name for row in Workspace.objects.order_by(*order)]


@pytest.mark.django_db
def test_rows_that_come_and_go_between_pages_change_no_others() -> None:
    fill(6, per_moment=1)
    first = paginate(Workspace.objects.all(), limit=2)
    first.data[0].delete()
    Workspace.objects.create(name="new")

    second = paginate(Workspace.objects.all(), limit=2, cursor=first.next_cursor)

    assert [row.name for row in first.data + second.data] == ["005", "004", "003", "002"]


@pytest.mark.django_db
def test_a_page_is_one_query_that_can_use_an_index(django_assert_num_queries: Any) -> None:
    fill(3)
    cursor = paginate(Workspace.objects.all(), limit=1).next_cursor

    with django_assert_num_queries(1) as queries:
        paginate(Workspace.objects.all(), limit=1, cursor=cursor)

    assert '"created_at" <= ' in queries.captured_queries[0]["sql"]


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cursor",
    [
        "x", "é", "====", "a b", cursor_of(None), cursor_of({}), cursor_of([]), cursor_of(["2026-11-21T12:00:00Z"]),
        cursor_of(["yesterday", "x"]), cursor_of(["2026-11-21T12:00:00Z", "x"]), cursor_of([None, None]),
        cursor_of([{}, []]), cursor_of(["2026-11-21T12:00:00Z", "a\0"]), cursor_of([True, 2**62]),
        cursor_of(["2026-99-21T12:00:00Z", "019ab000-0000-7000-8000-000000000000"]),
        cursor_of([1e300, -1]), cursor_of(["", ""]), cursor_of(["9" * 5000, "x"]),
    ],
)  # fmt: skip
def test_what_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        paginate(Workspace.objects.all(), cursor=cursor)
    assert refusal.value.param == "cursor"


@pytest.mark.django_db
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_cursor_from_the_ends_of_time(moment: str) -> None:
    fill(2)
    cursor = cursor_of([moment, "019ab000-0000-7000-8000-000000000000"])

    assert len(paginate(Workspace.objects.all(), cursor=cursor).data) in (0, 2)


@pytest.mark.django_db
@pytest.mark.parametrize("limit", [-1, 0, 501])
def test_what_is_no_limit(limit: int) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        paginate(Workspace.objects.all(), limit=limit)
    assert refusal.value.param == "limit"
