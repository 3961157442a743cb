"""What keeps Django's admin fast on tables of any size, and what keeps it from writing the ledger."""

from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    # Django's own classes take no parameters while the program runs.
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyTabularInline = admin.TabularInline[Any, Any]
    AnyPaginator = Paginator[Any]
else:
    AnyModelAdmin, AnyTabularInline, AnyPaginator = admin.ModelAdmin, admin.TabularInline, Paginator

# Up to here a count is exact; beyond it, it is the planner's estimate, or this number for a search.
EXACT_UP_TO = 10_000
# What was counted last: of a partitioned table, in its partitions.
ESTIMATE = """
SELECT coalesce(sum(reltuples) FILTER (WHERE reltuples > 0 AND relkind <> 'p'), 0)::bigint FROM pg_class
WHERE oid = %(table)s::regclass OR oid IN (SELECT relid FROM pg_partition_tree(%(table)s::regclass))
"""


class EstimatingPaginator(AnyPaginator):
    """A paginator that never counts a large table row by row."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Model] = self.object_list  # type: ignore[assignment]
        counted = rows.order_by()[:EXACT_UP_TO].count()
        if counted < EXACT_UP_TO or rows.query.where:
            return counted
        with connections[rows.db].cursor() as cursor:
            cursor.execute(ESTIMATE, {"table": rows.model._meta.db_table})
            (estimate,) = cursor.fetchone()
        return max(counted, int(estimate))


class LargeTableAdmin(AnyModelAdmin):
    """Newest first by the time-ordered id, no second count, and a search that is one look-up by id."""

    paginator = EstimatingPaginator
    show_full_result_count = False
    ordering = ("-id",)
    list_per_page = 50
    search_fields = ("id",)
    search_help_text = "A whole id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False


class ReadOnlyMixin:
    """Rows that can be looked at and nothing else."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
