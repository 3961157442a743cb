"""The page of the audit trail."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.access import Action, Caller
from accounts.audit import KINDS
from accounts.models import AuditEntry, Membership
from accounts.queries import SYSTEM, AuditFilters, audit_entries
from accounts.web import ConsoleRequest, console_view
from accounts.wording import differences, sentence_of
from gateway_project.lib.days import DaysFilter
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.htmx import render_part
from gateway_project.lib.pagination import Page, paginate

PAGE_SIZE = 50
OFFERED = 200


class AuditFilter(DaysFilter):
    """Filters of the trail."""

    # Not a select: addresses are as long as people like, and there may be thousands.
    actor = forms.CharField(
        label="Who",
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"placeholder": "Anybody", "autocomplete": "off", "list": "actors"}),
    )
    action = forms.ChoiceField(
        label="What", required=False, choices=[("", "Anything"), *((kind, label) for kind, label in KINDS.items())]
    )
    object = forms.CharField(
        label="Name or id",
        required=False,
        max_length=420,
        widget=forms.TextInput(attrs={"placeholder": "Any", "autocomplete": "off", "spellcheck": "false"}),
    )

    def filters(self) -> AuditFilters:
        data = self.cleaned_data
        since, until = self.ends()
        return AuditFilters(actor=data["actor"], action=data["action"], object=data["object"], since=since, until=until)


@require_safe
@console_view(Action.READ_AUDIT)
def trail(request: ConsoleRequest) -> HttpResponse:
    """Who changed what, newest first, as the URL filters it."""
    caller = request.caller
    form = AuditFilter(request.GET)
    page: Page[AuditEntry] = Page([], None)
    if form.is_valid():
        try:
            entries = audit_entries(caller, form.filters())
            page = paginate(entries, limit=PAGE_SIZE, cursor=request.GET.get("cursor"))
        except InvalidRequest as error:
            form.refuse(error)
    context = {
        "form": form,
        "actors": [*_members(caller), SYSTEM],
        "rows": [_shown(row) for row in page.data],
        "next_cursor": page.next_cursor,
        "filtered": form.active,
        "announcement": f"{len(page.data)} change{'' if len(page.data) == 1 else 's'}.",
    }
    return render_part(request, "accounts/audit.html", "results", context, status=422 if form.errors else 200)


def _shown(entry: AuditEntry) -> dict[str, Any]:
    return {
        "entry": entry,
        "kind": entry.action.partition(".")[0],
        "done": sentence_of(entry),
        "differences": differences(entry),
    }


def _members(caller: Caller) -> list[str]:
    """The addresses that the filter offers."""
    members = Membership.objects.filter(workspace=caller.workspace).order_by("user__email")
    return list(members.values_list("user__email", flat=True)[:OFFERED])
