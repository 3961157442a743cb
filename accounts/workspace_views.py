"""The pages for what holds in a whole workspace: its name, its limits, and those of its members."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST

from accounts import workspaces
from accounts.access import Action, get_or_404, require
from accounts.forms import ContentForm, LimitsForm, WorkspaceForm
from accounts.limits import LimitFields
from accounts.models import Membership
from accounts.spending import spending_of
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError
from gateway_project.lib.htmx import render_part, say_and_go
from gateway_project.lib.schemas import parse

SETTINGS, MEMBER = "accounts/workspace.html", "accounts/member.html"


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def settings(request: ConsoleRequest) -> HttpResponse:
    """The workspace's settings; posted to, it renames the workspace."""
    if request.method in ("GET", "HEAD"):
        return _settings_page(request)
    require(request.caller, Action.OWN)
    form = WorkspaceForm(request.POST, auto_id="workspace_%s")
    if form.is_valid():
        try:
            workspaces.rename_workspace(request.caller, form.cleaned_data["name"])
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, "The workspace is renamed.", resolve_url("workspace"))
    return _settings_page(request, "name_form", name_form=form)


@require_POST
@console_view(Action.MANAGE_LIMITS)
def limits(request: ConsoleRequest) -> HttpResponse:
    """Limit what is spent in the workspace."""
    form = LimitsForm(request.POST, limited=request.caller.workspace, auto_id="limits_%s")
    if form.is_valid():
        try:
            workspaces.limit_workspace(request.caller, _fields(form.limits_for_service()))
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, "The limits are saved.", resolve_url("workspace"))
    return _settings_page(request, "limits_form", limits_form=form)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_LIMITS)
def reset_budget(request: ConsoleRequest) -> HttpResponse:
    """Ask, then let what the workspace has spent of its budget count no more."""
    here, name = resolve_url("workspace"), request.caller.workspace.name
    if request.method == "POST":
        workspaces.reset_workspace_budget(request.caller)
        return say_and_go(request, f"The budget of {name} is whole again.", here)
    return ask_reset(request, name, here)


@require_POST
@console_view(Action.OWN)
def content(request: ConsoleRequest) -> HttpResponse:
    """Have prompts and answers kept, or no more."""
    form = ContentForm(request.POST, auto_id="content_%s")
    if form.is_valid():
        keep, days = form.cleaned_data["store_content"], form.cleaned_data["content_retention_days"]
        workspaces.keep_content(request.caller, store=keep, days=days)
        said = "Prompts and answers are kept from now on." if keep else "Prompts and answers are not kept."
        return say_and_go(request, said, resolve_url("workspace"))
    return _settings_page(request, "content_form", content_form=form)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def member(request: ConsoleRequest, id: str) -> HttpResponse:
    """What a member may spend, with all the keys that they made."""
    row = get_or_404(Membership.objects.select_related("user"), request.caller, id)
    if request.method in ("GET", "HEAD"):
        return _member_page(request, row, LimitsForm(limited=row))
    require(request.caller, workspaces.right_over(row.role))
    form = LimitsForm(request.POST, limited=row)
    if form.is_valid():
        try:
            workspaces.limit_member(request.caller, id, _fields(form.limits_for_service()))
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, f"The limits of {row.user.email} are saved.", resolve_url("team"))
    return _member_page(request, row, form)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def reset_member_budget(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then let what a member has spent of their budget count no more."""
    row = get_or_404(Membership.objects.select_related("user"), request.caller, id)
    require(request.caller, workspaces.right_over(row.role))
    here = resolve_url("member", id=row.pk)
    if request.method == "POST":
        workspaces.reset_member_budget(request.caller, id)
        return say_and_go(request, f"The budget of {row.user.email} is whole again.", here)
    return ask_reset(request, row.user.email, here)


def ask_reset(request: ConsoleRequest, name: str, back: str) -> HttpResponse:
    """The question before the budget of `name` is reset by a POST to the same address."""
    context = {
        "question": f"Reset the budget of {name}?",
        "consequence": "What was spent of it in this period counts against it no more. The record of it stays.",
        "button": "Reset budget",
        "button_class": "btn-primary",
        "action": request.path,
        "back": back,
    }
    return render_part(request, "confirm.html", "dialog", context)


def _fields(data: Mapping[str, Any]) -> LimitFields:
    return parse(LimitFields, data)


def _settings_page(request: ConsoleRequest, part: str = "", **forms: Any) -> HttpResponse:
    workspace = request.caller.workspace
    kept = {name: getattr(workspace, name) for name in ContentForm.base_fields}
    context = {
        "can_own": request.caller.may(Action.OWN),
        "can_limit": request.caller.may(Action.MANAGE_LIMITS),
        "name_form": WorkspaceForm(initial={"name": workspace.name}, auto_id="workspace_%s"),
        "limits_form": LimitsForm(limited=workspace, auto_id="limits_%s"),
        "content_form": ContentForm(initial=kept, auto_id="content_%s"),
        "spending": spending_of([workspace])[workspace.pk],
        **forms,
    }
    if not forms:
        return render(request, SETTINGS, context)
    return render_part(request, SETTINGS, part, context, status=422)


def _member_page(request: ConsoleRequest, row: Membership, form: LimitsForm) -> HttpResponse:
    context = {
        "member": row,
        "form": form,
        "can_limit": request.caller.may(workspaces.right_over(row.role)),
        "spending": spending_of([row])[row.pk],
    }
    return render_part(request, MEMBER, "form", context, status=422 if form.is_bound else 200)
