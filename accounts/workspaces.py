"""What changes workspaces and who belongs to them."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.dispatch import Signal

from accounts import audit
from accounts.access import Action, Caller, parse_id, require
from accounts.budgets import set_back
from accounts.limits import LimitFields, set_limits, show_limits
from accounts.models import Membership, Role, User, Workspace
from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound
from gateway_project.lib.throttle import Throttle

# Sent with `workspace=`, inside the transaction that makes it: what a receiver writes is there together with it.
workspace_created = Signal()
# Sent with `caller=` and `membership=`, inside the transaction that ends it, while it is still there.
member_leaves = Signal()

MAX_WORKSPACES = 100


def create_workspace(owner: User, name: str) -> Workspace:
    """A workspace that `owner` owns. Raises InvalidRequest naming `name`, Conflict when they have too many."""
    workspace = Workspace(name=_clean_name(name))
    caller = Caller(owner, workspace, Role.OWNER)
    if Membership.objects.filter(user=owner).count() >= MAX_WORKSPACES:
        raise Conflict(f"You belong to {MAX_WORKSPACES} workspaces; leave one first.")
    with transaction.atomic():
        workspace.save()
        Membership.objects.create(user=owner, workspace=workspace, role=Role.OWNER)
        audit.record(caller, "workspace.created", workspace, new={"name": workspace.name, "owner": owner.email})
        workspace_created.send(Workspace, workspace=workspace)
    return workspace


@transaction.atomic
def rename_workspace(caller: Caller, name: str) -> Workspace:
    """Raises PermissionDenied, InvalidRequest naming `name`."""
    require(caller, Action.OWN)
    name = _clean_name(name)
    locked = _locked_workspace(caller)
    with audit.changes(caller, "workspace.changed", locked, _workspace_facts):
        locked.name = name
        locked.save(update_fields=["name"])
    return locked


@transaction.atomic
def limit_workspace(caller: Caller, fields: LimitFields) -> Workspace:
    """Set the limits and the budget of all that happens in the workspace. Raises PermissionDenied, InvalidRequest."""
    require(caller, Action.MANAGE_LIMITS)
    locked = _locked_workspace(caller)
    with audit.changes(caller, "workspace.changed", locked, _workspace_facts):
        locked.save(update_fields=set_limits(locked, fields))
    return locked


@transaction.atomic
def reset_workspace_budget(caller: Caller) -> Workspace:
    """Let what the workspace spends count from zero again; see `accounts.budgets.set_back`. Raises PermissionDenied."""
    require(caller, Action.MANAGE_LIMITS)
    locked = _locked_workspace(caller)
    locked.save(update_fields=set_back(caller, "workspace.budget_reset", locked))
    return locked


@transaction.atomic
def keep_content(caller: Caller, *, store: bool | None = None, days: int | None = None) -> Workspace:
    """Have prompts and answers kept, or no more, and for how many days; None leaves it. Raises PermissionDenied."""
    require(caller, Action.OWN)
    locked = _locked_workspace(caller)
    with audit.changes(caller, "workspace.changed", locked, _workspace_facts):
        if store is not None:
            locked.store_content = store
        if days is not None:
            locked.content_retention_days = days
        locked.save(update_fields=["store_content", "content_retention_days"])
    return locked


def add_member(caller: Caller, email: str, role: Role) -> Membership:
    """Let the user with this address in. Raises PermissionDenied, NotFound naming `email` when nobody has an account
    there, Conflict when they are in already, RateLimitExceeded after many that do not exist.
    """
    require(caller, right_over(role))
    throttle = Throttle("unknown-members", *settings.UNKNOWN_MEMBERS_PER_USER)
    throttle.hit(str(caller.user.pk))
    user = User.objects.filter(email=User.objects.normalize_email(email), is_active=True).first()
    if user is None:
        raise NotFound("email: nobody has an account with this address here; they sign up first.", param="email")
    throttle.forgive(str(caller.user.pk))
    try:
        with transaction.atomic():
            membership = Membership.objects.create(user=user, workspace=caller.workspace, role=role)
            audit.record(caller, "member.added", membership, new=_member_facts(membership))
            return membership
    except IntegrityError:
        raise Conflict(f"email: {user.email} is a member already.", param="email") from None


@transaction.atomic
def change_role(caller: Caller, membership_id: str, role: Role) -> Membership:
    """Raises PermissionDenied, NotFound, Conflict when it would leave the workspace without an owner."""
    membership = _locked(caller, membership_id)
    require(caller, right_over(membership.role, role))
    if membership.role == Role.OWNER and role != Role.OWNER:
        _keep_an_owner(membership)
    with audit.changes(caller, "member.changed", membership, _member_facts):
        membership.role = role
        membership.save(update_fields=["role"])
    return membership


@transaction.atomic
def limit_member(caller: Caller, membership_id: str, fields: LimitFields) -> Membership:
    """Set the limits and the budget of all the keys that a member made. Nobody sets those of who is above them.

    Raises PermissionDenied, NotFound, InvalidRequest.
    """
    membership = _locked(caller, membership_id)
    require(caller, right_over(membership.role))
    with audit.changes(caller, "member.changed", membership, _member_facts):
        membership.save(update_fields=set_limits(membership, fields))
    return membership


@transaction.atomic
def reset_member_budget(caller: Caller, membership_id: str) -> Membership:
    """Let what the keys of a member spend count from zero again. Raises PermissionDenied, NotFound."""
    membership = _locked(caller, membership_id)
    require(caller, right_over(membership.role))
    membership.save(update_fields=set_back(caller, "member.budget_reset", membership))
    return membership


@transaction.atomic
def remove_member(caller: Caller, membership_id: str) -> None:
    """Put a member out; everybody may leave. Raises as `change_role` does."""
    membership = _locked(caller, membership_id)
    if membership.user_id != caller.user.pk:
        require(caller, right_over(membership.role))
    if membership.role == Role.OWNER:
        _keep_an_owner(membership)
    audit.record(caller, "member.removed", membership, old=_member_facts(membership))
    member_leaves.send(Membership, caller=caller, membership=membership)
    membership.delete()


def _workspace_facts(workspace: Workspace) -> audit.Facts:
    content = {name: getattr(workspace, name) for name in ("store_content", "content_retention_days")}
    return {"name": workspace.name, **content, **show_limits(workspace)}


def _member_facts(membership: Membership) -> audit.Facts:
    return {"email": membership.user.email, "role": membership.role, **show_limits(membership)}


def without_owner(lost: Q) -> QuerySet[Workspace]:
    """The workspaces, by name, that would lose their last owner with the memberships that match `lost`."""
    owners = Membership.objects.filter(workspace=OuterRef("pk"), role=Role.OWNER)
    return Workspace.objects.filter(Exists(owners.filter(lost)), ~Exists(owners.exclude(lost))).order_by("name", "id")


def right_over(*roles: str) -> Action:
    """What it takes to manage such members: an admin does up to admins, only an owner makes and unmakes owners."""
    return Action.OWN if Role.OWNER in roles else Action.MANAGE_MEMBERS


def _locked(caller: Caller, membership_id: str) -> Membership:
    """The membership, while no other one of its workspace can change: two owners must not remove each other."""
    _locked_workspace(caller)
    membership = (
        Membership.objects.select_related("user").filter(workspace=caller.workspace, pk=parse_id(membership_id)).first()
    )
    if membership is None:
        raise NotFound("There is no such member.")
    return membership


def _locked_workspace(caller: Caller) -> Workspace:
    return Workspace.objects.select_for_update(no_key=True).get(pk=caller.workspace.pk)


def _keep_an_owner(leaving: Membership) -> None:
    others = Membership.objects.filter(workspace=leaving.workspace_id, role=Role.OWNER).exclude(pk=leaving.pk)
    if not others.exists():
        raise Conflict("A workspace keeps at least one owner; make somebody else an owner first.")


def _clean_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 120 or "\0" in name:
        raise InvalidRequest("name: must be 1 to 120 characters, none of them NUL.", param="name")
    return name
