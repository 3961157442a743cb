"""`GET /api/events`: what the workspace's people should hear of."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Field, Query, Router, Schema

from accounts.access import scoped
from accounts.auth import ApiRequest, api_auth
from accounts.events import LISTED
from accounts.models import Event
from accounts.wording import words_of
from gateway_project.lib.pagination import ListOf, PageQuery, paginate

router = Router(auth=api_auth, tags=["Accounts"])


class EventOut(Schema):
    id: UUID
    created_at: datetime
    kind: str = Field(description=f"{LISTED}.")
    title: str = Field(description="What happened, for people.")
    text: str
    data: dict[str, Any] = Field(description="What happened, for programs; as webhooks get it.")


@router.get("", response=ListOf[EventOut], summary="List the workspace's events, newest first")
def list_events(request: ApiRequest, page: Query[PageQuery]) -> dict[str, Any]:
    return paginate(scoped(Event.objects.all(), request.auth), limit=page.limit, cursor=page.cursor).shown(_show)


def _show(event: Event) -> dict[str, Any]:
    words = words_of(event)
    return {
        "id": event.pk,
        "created_at": event.created_at,
        "kind": event.kind,
        "title": words.title,
        "text": words.text,
        "data": event.data,
    }
