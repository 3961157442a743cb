"""The pages for signing up, logging in, the account and the team."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login as begin_session
from django.contrib.auth import logout as end_session
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from accounts import services, web, workspaces
from accounts.access import Action, Caller, get_or_404
from accounts.forms import ROLE_LABELS, LoginForm, MemberForm, PasswordForm, ProfileForm, SignUpForm, WorkspaceForm
from accounts.models import Membership, Role, User
from accounts.spending import spending_of
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError, Conflict
from gateway_project.lib.htmx import go_to, is_htmx, render_part, say_and_go, toast
from gateway_project.lib.http import client_address

BACKEND = "django.contrib.auth.backends.ModelBackend"
THEMES = ("auto", "light", "dark")
ONE_YEAR = 365 * 24 * 3600


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Log in, then go to `next` where that is a page of this site."""
    next_page = _safe_next(request)
    if request.user.is_authenticated:
        return go_to(request, next_page)
    form = LoginForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = services.log_in(**form.cleaned_data, address=client_address(request))
        except ApiError as error:
            form.refuse(error)
        else:
            begin_session(request, user, backend=BACKEND)
            return go_to(request, next_page)
    context = {"form": form, "next": request.POST.get("next") or request.GET.get("next", "")}
    return render(request, "accounts/login.html", context, status=_status(form))


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """A new account with a workspace, already logged in."""
    if request.user.is_authenticated:
        return go_to(request, resolve_url(settings.LOGIN_REDIRECT_URL))
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user, _ = services.sign_up(**form.cleaned_data, address=client_address(request))
        except ApiError as error:
            form.refuse(error)
        else:
            begin_session(request, user, backend=BACKEND)
            return go_to(request, resolve_url(settings.LOGIN_REDIRECT_URL))
    context = {"form": form, "first_user": not User.objects.exists()}
    return render(request, "accounts/signup.html", context, status=_status(form))


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    end_session(request)
    return go_to(request, resolve_url(settings.LOGOUT_REDIRECT_URL))


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the browser's choice of theme in a cookie that the next page is rendered with."""
    chosen = request.POST.get("theme", "")
    chosen = chosen if chosen in THEMES else THEMES[0]
    if is_htmx(request):
        response = trigger_client_event(HttpResponse(status=204), "theme-changed", {"theme": chosen})
    else:
        response = go_to(request, _back(request))
    response.set_cookie(
        "theme", chosen, max_age=ONE_YEAR, samesite="Lax", httponly=True, secure=settings.SESSION_COOKIE_SECURE
    )
    return response


# --- The account ---------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def account(request: ConsoleRequest) -> HttpResponse:
    user = request.caller.user
    form = ProfileForm(request.POST or None, initial={"name": user.name}, auto_id="profile_%s")
    if request.method == "POST" and form.is_valid():
        try:
            services.change_name(user, form.cleaned_data["name"])
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, "Your name is saved.", resolve_url("account"))
    return _account_page(request, "profile", profile=form)


@sensitive_post_parameters("current", "new")
@require_POST
@console_view()
def change_password(request: ConsoleRequest) -> HttpResponse:
    user = request.caller.user
    form = PasswordForm(request.POST, auto_id="password_%s")
    if form.is_valid():
        try:
            services.change_password(user, form.cleaned_data["current"], form.cleaned_data["new"])
        except ApiError as error:
            form.refuse(error)
        else:
            update_session_auth_hash(request, user)
            return say_and_go(request, "Your password is changed.", resolve_url("account"))
    return _account_page(request, "password", password=form)


def _account_page(request: ConsoleRequest, part: str, **forms: Any) -> HttpResponse:
    context = {
        "profile": ProfileForm(initial={"name": request.caller.user.name}, auto_id="profile_%s"),
        "password": PasswordForm(auto_id="password_%s"),
        **forms,
    }
    return render_part(request, "accounts/account.html", part, context, status=_status(context[part]))


# --- The team ------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD"])
@console_view()
def team(request: ConsoleRequest) -> HttpResponse:
    """Members, their roles, and what they may spend."""
    return _team_page(request, "content")


@require_POST
@console_view(Action.MANAGE_MEMBERS)
def member_add(request: ConsoleRequest) -> HttpResponse:
    form = MemberForm(request.POST, roles=_grantable(request.caller), auto_id="member_%s")
    if form.is_valid():
        try:
            member = workspaces.add_member(request.caller, form.cleaned_data["email"], Role(form.cleaned_data["role"]))
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, f"{member.user.email} is now {member.role} here.", resolve_url("team"))
    return _team_page(request, "member_form", member_form=form)


@require_POST
@console_view()
def member_role(request: ConsoleRequest, id: str) -> HttpResponse:
    role = request.POST.get("role", "")
    if role not in Role.values:
        return HttpResponse("There is no such role.", status=422, content_type="text/plain")
    try:
        member = workspaces.change_role(request.caller, id, Role(role))
    except Conflict as error:
        return _refused(request, error)
    return say_and_go(request, f"{member.user.email} is now {member.role} here.", resolve_url("team"))


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def member_remove(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then put a member out or leave."""
    caller = request.caller
    member = get_or_404(Membership.objects.select_related("user"), caller, id)
    leaving = member.user_id == caller.user.pk
    if request.method == "POST":
        try:
            workspaces.remove_member(caller, id)
        except Conflict as error:
            return _refused(request, error)
        if leaving:
            return say_and_go(request, f"You left {caller.workspace.name}.", resolve_url("overview"))
        return say_and_go(request, f"{member.user.email} is no longer a member.", resolve_url("team"))
    context = {
        "question": f"Leave {caller.workspace.name}?" if leaving else f"Remove {member.user.email}?",
        "consequence": (
            "You lose access to its keys, providers and requests. An admin can add you again."
            if leaving
            else f"They lose access to {caller.workspace.name}. Keys that they created {_fate(member)}."
        ),
        "button": "Leave workspace" if leaving else "Remove member",
        "action": request.path,
        "back": resolve_url("team"),
    }
    return render_part(request, "confirm.html", "dialog", context)


def _fate(member: Membership) -> str:
    """What becomes of the keys of a member who goes."""
    return "are revoked, since their limits go, too" if member.is_limited else "keep working"


@require_POST
@console_view()
def workspace_new(request: ConsoleRequest) -> HttpResponse:
    """Make a workspace and go on in it."""
    form = WorkspaceForm(request.POST, auto_id="new_workspace_%s")
    if form.is_valid():
        try:
            made = workspaces.create_workspace(request.caller.user, form.cleaned_data["name"])
        except ApiError as error:
            form.refuse(error)
        else:
            web.choose_workspace(request, request.caller.user, str(made.pk))
            return say_and_go(request, f"You are now in {made.name}.", resolve_url("overview"))
    return _team_page(request, "new_workspace_form", new_workspace_form=form)


@require_POST
@console_view()
def switch_workspace(request: ConsoleRequest) -> HttpResponse:
    web.choose_workspace(request, request.caller.user, request.POST.get("workspace", ""))
    return go_to(request, resolve_url("overview"))


def _team_page(request: ConsoleRequest, part: str, **forms: Any) -> HttpResponse:
    caller = request.caller
    context = {
        "members": _members(caller),
        "can_manage_members": caller.may(Action.MANAGE_MEMBERS),
        "member_form": MemberForm(roles=_grantable(caller), auto_id="member_%s"),
        "new_workspace_form": WorkspaceForm(auto_id="new_workspace_%s"),
        **forms,
    }
    if part not in forms:
        return render(request, "accounts/team.html", context)
    return render_part(request, "accounts/team.html", part, context, status=_status(forms[part]))


def _members(caller: Caller) -> list[dict[str, Any]]:
    """The workspace's members, the longest-standing first, with what the caller may do to each."""
    found = Membership.objects.filter(workspace=caller.workspace).select_related("user").order_by("created_at", "id")
    rows = list(found)
    spent = spending_of(rows)
    grantable = _grantable(caller)
    only_owner = sum(row.role == Role.OWNER for row in rows) == 1
    members = []
    for row in rows:
        stays = row.role == Role.OWNER and only_owner  # a workspace keeps an owner
        over = Role(row.role) in grantable and not stays
        own = row.user_id == caller.user.pk
        members.append(
            {
                "id": row.id,
                "user": row.user,
                "own": own,
                "role": row.role,
                "label": row.get_role_display(),
                "roles": grantable if over else [],
                "spending": spent[row.pk],
                "removable": over or (own and not stays),
            }
        )
    return members


def _grantable(caller: Caller) -> list[Role]:
    """The roles that the caller may give and take, from least to most."""
    if caller.may(Action.OWN):
        return list(ROLE_LABELS)
    return [role for role in ROLE_LABELS if role != Role.OWNER] if caller.may(Action.MANAGE_MEMBERS) else []


def _refused(request: ConsoleRequest, error: ApiError) -> HttpResponse:
    """Say why on the page that asked, or on the team page for a browser without htmx."""
    if is_htmx(request):
        return toast(HttpResponse(status=204), error.message, "error")
    messages.error(request, error.message)
    return go_to(request, resolve_url("team"))


def _status(form: Any) -> int:
    return 422 if form.is_bound and form.errors else 200


def _safe_next(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if wanted and safe else resolve_url(settings.LOGIN_REDIRECT_URL)


def _back(request: HttpRequest) -> str:
    came_from = request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(came_from, {request.get_host()}, require_https=request.is_secure())
    return came_from if came_from and safe else resolve_url(settings.LOGIN_REDIRECT_URL)
