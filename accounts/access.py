"""Who may do what in a workspace, and which rows exist for whom.

Roles include one another, from the bottom up:

- a **viewer** reads everything in the workspace but secrets, the audit trail, which tells from where people work, and
  prompts and answers, where those are kept;
- a **member** also reads these, creates, changes and revokes gateway keys, and spends on them, and changes libraries
  and documents;
- an **admin** also manages providers, policies, webhooks and members (up to admins), says what members and the
  workspace may spend, and reads the audit trail;
- an **owner** also renames the workspace, and makes and unmakes owners. There is always at least one.

Another workspace's object does not exist for a caller: `NotFound`, whether the id is known, unknown or no id at all.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts.models import Membership, Role, User, Workspace
from gateway_project.lib.errors import NotFound, PermissionDenied

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Caller:
    """Who acts, in which workspace, as what."""

    user: User
    workspace: Workspace
    role: Role

    def may(self, action: "Action") -> bool:
        """Whether the role allows `action`."""
        return _RANK[self.role] >= _RANK[_NEEDED[action]]


class Action(StrEnum):
    """What roles are asked for. The comment is the least role that has it."""

    READ = "read this workspace"  # viewer
    USE_KEYS = "create or change gateway keys"  # member
    USE_LIBRARIES = "change libraries and documents"  # member
    READ_CONTENT = "read prompts and answers"  # member
    MANAGE_PROVIDERS = "manage providers"  # admin
    MANAGE_ROUTING = "manage policies and models"  # admin
    MANAGE_MEMBERS = "manage members"  # admin
    MANAGE_WEBHOOKS = "manage webhooks"  # admin
    READ_AUDIT = "read the audit trail"  # admin
    MANAGE_LIMITS = "set the workspace's limits and budget"  # admin
    OWN = "change the workspace or its owners"  # owner


_RANK = {role: rank for rank, role in enumerate((Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER))}
_NEEDED = {
    Action.READ: Role.VIEWER,
    Action.USE_KEYS: Role.MEMBER,
    Action.USE_LIBRARIES: Role.MEMBER,
    Action.READ_CONTENT: Role.MEMBER,
    Action.MANAGE_PROVIDERS: Role.ADMIN,
    Action.MANAGE_ROUTING: Role.ADMIN,
    Action.MANAGE_MEMBERS: Role.ADMIN,
    Action.READ_AUDIT: Role.ADMIN,
    Action.MANAGE_WEBHOOKS: Role.ADMIN,
    Action.MANAGE_LIMITS: Role.ADMIN,
    Action.OWN: Role.OWNER,
}


def require(caller: Caller, action: Action) -> None:
    """Raises PermissionDenied, naming the role that is needed, unless the caller's role allows `action`."""
    if not caller.may(action):
        raise PermissionDenied(
            f"To {action.value} takes the role {_NEEDED[action].value}; you are {caller.role.value} here."
        )


def scoped(queryset: QuerySet[M], caller: Caller) -> QuerySet[M]:
    """The rows of the caller's workspace."""
    return queryset.filter(workspace=caller.workspace)


def in_workspace(queryset: QuerySet[M], workspace_id: str | UUID) -> QuerySet[M]:
    """The rows of a workspace, for who has no membership in it: a gateway key, a task."""
    return queryset.filter(workspace_id=workspace_id)


def get_or_404(queryset: QuerySet[M], caller: Caller, id: str | UUID) -> M:
    """The row `id` of the caller's workspace. Raises NotFound for another workspace's id, and for what is no id."""
    row = scoped(queryset, caller).filter(pk=parse_id(id)).first()
    if row is None:
        raise NotFound(f"There is no such {queryset.model._meta.verbose_name}.")
    return row


def parse_id(text: str | UUID) -> UUID:
    """`text` as a row's id. Raises NotFound when it is none: an id that cannot exist does not."""
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except ValueError:
        raise NotFound("There is no object with this id.") from None


def caller_for(user: User, workspace_id: str | UUID | None) -> Caller:
    """`user` as a member of a workspace; of the one that they joined first when `workspace_id` is None.

    Raises NotFound when they are no member of it (or of any).
    """
    memberships = Membership.objects.select_related("workspace").filter(user=user)
    if workspace_id is None:
        membership = memberships.order_by("created_at", "id").first()
        if membership is None:
            raise NotFound("You belong to no workspace; POST /api/workspaces makes one.")
    else:
        membership = memberships.filter(workspace_id=parse_id(workspace_id)).first()
        if membership is None:
            raise NotFound("There is no such workspace.")
    return Caller(user, membership.workspace, Role(membership.role))
