"""What staff change in Django's admin stands in the audit trail, too."""

from collections.abc import Iterable
from typing import Any

from django.db.models import BinaryField, Model, QuerySet
from django.http import HttpRequest

from accounts import audit
from accounts.models import Workspace

# What nobody edits, and what is nobody's to read.
LEFT_OUT = ("id", "created_at", "password", "last_login")


class AuditedMixin:
    """For a `ModelAdmin`: records what it adds, changes and deletes as changes of an `audit_kind`."""

    audit_kind: str

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        old = facts_of(type(obj)._base_manager.get(pk=obj.pk)) if change else None
        super().save_model(request, obj, form, change)  # type: ignore[misc]
        done = "changed" if change else "created"
        audit.record(None, f"{self.audit_kind}.{done}", obj, old=old, new=facts_of(obj), workspace=_workspace(obj))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._removed([obj])
        super().delete_model(request, obj)  # type: ignore[misc]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._removed(queryset)
        super().delete_queryset(request, queryset)  # type: ignore[misc]

    def _removed(self, rows: Iterable[Model]) -> None:
        for row in rows:
            audit.record(None, f"{self.audit_kind}.removed", row, old=facts_of(row), workspace=_workspace(row))


def record_formset(formset: Any, kind: str, workspace: Workspace) -> None:
    """Record what a saved formset of rows of `workspace` added, changed and deleted."""
    for row in formset.new_objects:
        audit.record(None, f"{kind}.added", row, new=facts_of(row), workspace=workspace)
    for row, names in formset.changed_objects:
        initial = next(form.initial for form in formset.initial_forms if form.instance.pk == row.pk)
        new = facts_of(row)
        old = {**new, **{name: _same(initial.get(name)) for name in names}}
        audit.record(None, f"{kind}.changed", row, old=old, new=new, workspace=workspace)
    for row in formset.deleted_objects:
        audit.record(None, f"{kind}.removed", row, old=facts_of(row), workspace=workspace)


def facts_of(row: Model) -> audit.Facts:
    """The columns of `row` that can be edited, without secrets."""
    fields = [field for field in row._meta.concrete_fields if field.editable and field.name not in LEFT_OUT]
    return {field.name: _same(field.value_from_object(row)) for field in fields if not isinstance(field, BinaryField)}


def _same(value: Any) -> Any:
    """A row that is referred to is told by its id."""
    return value.pk if isinstance(value, Model) else value


def _workspace(row: Model) -> Workspace | None:
    """The workspace that `row` belongs to; None: it is of no workspace."""
    return row if isinstance(row, Workspace) else getattr(row, "workspace", None)
