"""What the API of accounts takes and gives."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from ninja import Field, Schema
from pydantic import SecretStr, StrictBool, StrictInt

from accounts.access import Caller
from accounts.limits import LimitFields, LimitsOut, show_limits
from accounts.models import Membership, Role, User
from accounts.services import MAX_PASSWORD
from accounts.spending import spending_of
from accounts.tokens import TokenPair
from gateway_project.lib.fields import Text
from gateway_project.lib.schemas import money

Email = Field(min_length=1, max_length=254, examples=["ada@example.com"])
# A secret type: a payload that ends up in a log shows asterisks.
Password = Field(min_length=1, max_length=MAX_PASSWORD)
Name = Field(min_length=1, max_length=120)


class SignUpIn(Schema):
    email: Text = Email
    password: SecretStr = Password
    name: Text = Field("", max_length=120)


class LogInIn(Schema):
    email: Text = Email
    password: SecretStr = Password


class RefreshIn(Schema):
    refresh_token: SecretStr = Field(min_length=1, max_length=4096)


class WorkspaceIn(Schema):
    name: Text = Name


class MemberIn(Schema):
    email: Text = Email
    role: Role = Role.MEMBER


class WorkspaceChange(LimitFields):
    """Its name, and whether prompts and answers are kept, take an owner; its limits, an admin."""

    name: Text = Field("", min_length=1, max_length=120)
    store_content: StrictBool = Field(
        False, description="Keep prompts and answers, encrypted. Turned off, what was kept is deleted within the hour."
    )
    content_retention_days: Annotated[StrictInt, Field(ge=1, le=3650)] = Field(
        30,
        description="Days after which a prompt and its answer are deleted; the oldest before, where they are too many.",
    )


class MemberChange(LimitFields):
    """Limits hold for all requests of the keys that the member made."""

    role: Role = Role.MEMBER


class UserOut(Schema):
    id: UUID
    email: str
    name: str


class WorkspaceOut(Schema):
    """A workspace, and what the caller is in it."""

    id: UUID
    name: str
    role: Role

    @classmethod
    def of(cls, membership: Membership) -> "WorkspaceOut":
        workspace = membership.workspace
        return cls(id=workspace.pk, name=workspace.name, role=Role(membership.role))

    @classmethod
    def of_caller(cls, caller: Caller) -> "WorkspaceOut":
        return cls(id=caller.workspace.pk, name=caller.workspace.name, role=caller.role)


class WorkspaceDetail(WorkspaceOut, LimitsOut):
    """A workspace with the limits that hold for all that happens in it, and whether it keeps prompts and answers."""

    store_content: bool
    content_retention_days: int

    @classmethod
    def of_caller(cls, caller: Caller) -> "WorkspaceDetail":
        workspace = caller.workspace
        return cls(
            id=workspace.pk, name=workspace.name, role=caller.role, store_content=workspace.store_content,
            content_retention_days=workspace.content_retention_days, **show_limits(workspace),
            spent_usd=money(spending_of([workspace])[workspace.pk].spent_usd),
        )  # fmt: skip


class MeOut(UserOut):
    workspaces: list[WorkspaceOut]


class MemberOut(LimitsOut):
    """A membership: `id` is its own, not the user's. Its limits hold for all requests of the keys that they made."""

    id: UUID
    user: UserOut
    role: Role
    created_at: datetime


class TokensOut(Schema):
    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: str = "bearer"  # noqa: S105  (RFC 6749's name of a kind, no secret)
    expires_in: int = Field(description="Seconds that the access token lives.")


class SignInOut(TokensOut):
    user: UserOut
    workspace: WorkspaceOut

    @classmethod
    def of(cls, caller: Caller, pair: TokenPair) -> "SignInOut":
        return cls(
            user=user_out(caller.user), workspace=WorkspaceOut.of_caller(caller),
            access_token=pair.access, refresh_token=pair.refresh, expires_in=pair.expires_in,
        )  # fmt: skip


def user_out(user: User) -> UserOut:
    return UserOut(id=user.pk, email=user.email, name=user.name)
