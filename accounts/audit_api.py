"""`GET /api/audit`: who changed what in the workspace."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Field, Query, Router, Schema

from accounts.audit import KINDS
from accounts.auth import ApiRequest, api_auth
from accounts.models import AuditEntry
from accounts.queries import AuditFilters, audit_entries
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.fields import Text
from gateway_project.lib.moments import span
from gateway_project.lib.pagination import ListOf, PageQuery, paginate

router = Router(auth=api_auth, tags=["Accounts"])


class AuditQuery(PageQuery):
    actor: Text = Field("", max_length=254, description="A user's id or e-mail address; `system`: the installation.")
    action: Text = Field(
        "", max_length=60, description="An action such as `key.created`, or what it begins with: `key`."
    )
    object: Text = Field("", max_length=420, description="The id or the name of what was changed.")
    since: str = Field("", max_length=60, alias="from", description="RFC 3339 time or date, included.")
    until: str = Field("", max_length=60, alias="to", description="RFC 3339 time or date, not included.")

    def filters(self) -> AuditFilters:
        """Raises InvalidRequest naming the parameter that makes no sense."""
        since, until = span(self.since, self.until)
        if self.action and self.action.partition(".")[0] not in KINDS:
            raise InvalidRequest(
                f"action: there is none of '{self.action}'; they begin with {', '.join(KINDS)}.", param="action"
            )
        return AuditFilters(actor=self.actor, action=self.action, object=self.object, since=since, until=until)


class Actor(Schema):
    id: UUID
    email: str = Field(description="As it was then.")


class Changed(Schema):
    kind: str
    id: str
    name: str = Field(description="As it was then.")


class AuditOut(Schema):
    id: UUID
    created_at: datetime
    actor: Actor | None = Field(description="null: the installation itself, by its variables or by the clock.")
    via: str | None = Field(description="console, api, or admin; null: no request.")
    address: str | None
    user_agent: str | None = Field(description="At most 120 characters of it.")
    request_id: str | None
    action: str
    object: Changed
    old: dict[str, Any] | None = Field(description="Of a change what differs; null: there was nothing before.")
    new: dict[str, Any] | None = Field(description="Secrets stand here as fingerprints.")


@router.get("", response=ListOf[AuditOut], summary="List who changed what, newest first")
def list_audit(request: ApiRequest, filters: Query[AuditQuery]) -> dict[str, Any]:
    """For admins and owners: it holds people's addresses."""
    entries = audit_entries(request.auth, filters.filters())
    return paginate(entries, limit=filters.limit, cursor=filters.cursor).shown(_show)


def _show(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "created_at": entry.created_at,
        "actor": {"id": entry.actor_id, "email": entry.actor} if entry.actor_id else None,
        "via": entry.via or None,
        "address": entry.address or None,
        "user_agent": entry.user_agent or None,
        "request_id": entry.request_id or None,
        "action": entry.action,
        "object": {"kind": entry.action.partition(".")[0], "id": entry.object_id, "name": entry.object_name},
        "old": entry.old,
        "new": entry.new,
    }
