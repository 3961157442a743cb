"""Sign-up, login and tokens under /api/auth; workspaces and their members under /api/workspaces."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import auth as django_auth
from django.db import transaction
from django.http import HttpRequest
from ninja import Query, Router, Status

from accounts import services, tokens, workspaces
from accounts.access import Caller, caller_for
from accounts.auth import UserRequest, user_auth
from accounts.limits import NAMES as LIMITS
from accounts.limits import show_limits
from accounts.models import Membership, Role
from accounts.schemas import (
    LogInIn,
    MemberChange,
    MemberIn,
    MemberOut,
    MeOut,
    RefreshIn,
    SignInOut,
    SignUpIn,
    TokensOut,
    WorkspaceChange,
    WorkspaceDetail,
    WorkspaceIn,
    WorkspaceOut,
    user_out,
)
from accounts.spending import Spending, spending_of
from gateway_project.lib.http import client_address
from gateway_project.lib.pagination import ListOf, PageQuery, paginate
from gateway_project.lib.schemas import money

router = Router(tags=["Accounts"])


@router.post("/auth/signup", response={201: SignInOut}, summary="Sign up")
def sign_up(request: HttpRequest, payload: SignUpIn) -> Status[SignInOut]:
    """Create a user with a personal workspace, and log in."""
    user, workspace = services.sign_up(
        payload.email, payload.password.get_secret_value(), payload.name, address=client_address(request)
    )
    return Status(201, SignInOut.of(Caller(user, workspace, Role.OWNER), tokens.start_session(user)))


@router.post("/auth/login", response=SignInOut, summary="Log in")
def log_in(request: HttpRequest, payload: LogInIn) -> SignInOut:
    """Exchange e-mail address and password for a pair of tokens."""
    user = services.log_in(payload.email, payload.password.get_secret_value(), address=client_address(request))
    return SignInOut.of(services.home(user), tokens.start_session(user))


@router.post("/auth/refresh", response=TokensOut, summary="Exchange a refresh token")
def refresh(request: HttpRequest, payload: RefreshIn) -> TokensOut:
    """Exchange a refresh token, once, for the next pair. Using it again revokes every token of the login."""
    _, pair = tokens.refresh(payload.refresh_token.get_secret_value())
    return TokensOut(access_token=pair.access, refresh_token=pair.refresh, expires_in=pair.expires_in)


@router.post("/auth/logout", auth=user_auth, response={204: None}, summary="Log out")
def log_out(request: UserRequest) -> Status[None]:
    """Revoke every token of this login, at once; with the console's cookie, end its session."""
    if request.auth.session is None:
        django_auth.logout(request)
    else:
        tokens.end_session(request.auth.session)
    return Status(204, None)


@router.get("/auth/me", auth=user_auth, response=MeOut, summary="Show who you are")
def me(request: UserRequest) -> MeOut:
    """The user, and every workspace that they belong to."""
    user = request.auth.user
    memberships = Membership.objects.select_related("workspace").filter(user=user).order_by("created_at", "id")
    return MeOut(id=user.pk, email=user.email, name=user.name, workspaces=[WorkspaceOut.of(m) for m in memberships])


@router.get("/workspaces", auth=user_auth, response=ListOf[WorkspaceOut], summary="List workspaces")
def list_workspaces(request: UserRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The workspaces that you belong to, in the order in which you joined them."""
    memberships = Membership.objects.select_related("workspace").filter(user=request.auth.user)
    found = paginate(memberships, order=("created_at", "id"), limit=page.limit, cursor=page.cursor)
    return found.shown(WorkspaceOut.of)


@router.post("/workspaces", auth=user_auth, response={201: WorkspaceDetail}, summary="Create a workspace")
def create_workspace(request: UserRequest, payload: WorkspaceIn) -> Status[WorkspaceDetail]:
    """Create a workspace that you own."""
    workspace = workspaces.create_workspace(request.auth.user, payload.name)
    return Status(201, WorkspaceDetail.of_caller(Caller(request.auth.user, workspace, Role.OWNER)))


@router.get("/workspaces/{workspace_id}", auth=user_auth, response=WorkspaceDetail, summary="Describe a workspace")
def get_workspace(request: UserRequest, workspace_id: str) -> WorkspaceDetail:
    return WorkspaceDetail.of_caller(_caller(request, workspace_id))


@router.patch("/workspaces/{workspace_id}", auth=user_auth, response=WorkspaceDetail, summary="Change a workspace")
@transaction.atomic
def change_workspace(request: UserRequest, workspace_id: str, payload: WorkspaceChange) -> WorkspaceDetail:
    """Rename a workspace that you own, or have it keep prompts and answers; limit one that you administer."""
    caller, given = _caller(request, workspace_id), payload.model_fields_set
    if "name" in given:
        workspaces.rename_workspace(caller, payload.name)
    if given & {"store_content", "content_retention_days"}:
        workspaces.keep_content(
            caller,
            store=payload.store_content if "store_content" in given else None,
            days=payload.content_retention_days if "content_retention_days" in given else None,
        )
    if payload.model_fields_set & set(LIMITS):
        workspaces.limit_workspace(caller, payload)
    return WorkspaceDetail.of_caller(_caller(request, workspace_id))


@router.post(
    "/workspaces/{workspace_id}/budget/reset",
    auth=user_auth,
    response=WorkspaceDetail,
    summary="Let a workspace's spending begin anew",
)
def reset_workspace_budget(request: UserRequest, workspace_id: str) -> WorkspaceDetail:
    workspaces.reset_workspace_budget(_caller(request, workspace_id))
    return WorkspaceDetail.of_caller(_caller(request, workspace_id))


@router.get(
    "/workspaces/{workspace_id}/members",
    auth=user_auth,
    response=ListOf[MemberOut],
    summary="List members",
)
def list_members(request: UserRequest, workspace_id: str, page: Query[PageQuery]) -> dict[str, Any]:
    """Who belongs to a workspace, in the order in which they joined."""
    caller = _caller(request, workspace_id)
    members = Membership.objects.select_related("user").filter(workspace=caller.workspace)
    found = paginate(members, order=("created_at", "id"), limit=page.limit, cursor=page.cursor)
    spent = spending_of(found.data)
    return found.shown(lambda member: _member_out(member, spent))


@router.post("/workspaces/{workspace_id}/members", auth=user_auth, response={201: MemberOut}, summary="Add a member")
def add_member(request: UserRequest, workspace_id: str, payload: MemberIn) -> Status[MemberOut]:
    """Let somebody who has an account join, as `role`."""
    return Status(201, _member_out(workspaces.add_member(_caller(request, workspace_id), payload.email, payload.role)))


@router.patch(
    "/workspaces/{workspace_id}/members/{member_id}", auth=user_auth, response=MemberOut, summary="Change a member"
)
@transaction.atomic
def change_member(request: UserRequest, workspace_id: str, member_id: str, payload: MemberChange) -> MemberOut:
    """Change a member's role, and what the keys that they made may spend."""
    caller = _caller(request, workspace_id)
    if "role" in payload.model_fields_set:
        workspaces.change_role(caller, member_id, payload.role)
    return _member_out(workspaces.limit_member(caller, member_id, payload))


@router.post(
    "/workspaces/{workspace_id}/members/{member_id}/budget/reset",
    auth=user_auth,
    response=MemberOut,
    summary="Let a member's spending begin anew",
)
def reset_member_budget(request: UserRequest, workspace_id: str, member_id: str) -> MemberOut:
    return _member_out(workspaces.reset_member_budget(_caller(request, workspace_id), member_id))


@router.delete(
    "/workspaces/{workspace_id}/members/{member_id}", auth=user_auth, response={204: None}, summary="Remove a member"
)
def remove_member(request: UserRequest, workspace_id: str, member_id: str) -> Status[None]:
    """Put a member out of the workspace, or leave it yourself."""
    workspaces.remove_member(_caller(request, workspace_id), member_id)
    return Status(204, None)


def _caller(request: UserRequest, workspace_id: str) -> Caller:
    """The user in the workspace that the path names."""
    return caller_for(request.auth.user, workspace_id)


def _member_out(membership: Membership, spent: Mapping[UUID, Spending] | None = None) -> MemberOut:
    found = spent or spending_of([membership])
    return MemberOut(
        id=membership.pk,
        user=user_out(membership.user),
        role=Role(membership.role),
        created_at=membership.created_at,
        spent_usd=money(found[membership.pk].spent_usd),
        **show_limits(membership),
    )
