"""The shapes of the webhooks API. The secret is in none but the answer that makes it."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, Field, StrictBool

from accounts.events import KINDS, LISTED
from gateway_project.lib.schemas import Strict
from keys.models import Webhook, WebhookDelivery
from keys.schemas import Text


def _known(kinds: list[str]) -> list[str]:
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"there is no kind '{kind}'; there are {', '.join(KINDS)}.")
    return list(dict.fromkeys(kinds))


class WebhookChange(Strict):
    """The fields of a webhook that can be changed."""

    url: Annotated[Text, Field(min_length=1, max_length=1000)] = Field(
        "", description="https, or http to a host on the operator's list."
    )
    kinds: Annotated[list[str], Field(max_length=50), AfterValidator(_known)] | None = Field(
        None, description=f"The kinds of events to send; null or none: every kind, also those to come. {LISTED}."
    )
    enabled: StrictBool = True


class NewWebhook(WebhookChange):
    url: Annotated[Text, Field(min_length=1, max_length=1000)]


class WebhookOut(Schema):
    id: UUID
    url: str
    kinds: list[str]
    enabled: bool
    disabled_because: str | None = Field(description="Why the gateway switched it off; null when it did not.")
    failing_since: datetime | None = Field(description="Since when nothing has arrived; null: the last message did.")
    created_at: datetime


class WebhookWithSecret(WebhookOut):
    secret: str = Field(description="What signatures are made with (Standard Webhooks). It is shown this once.")


class TestOut(Schema):
    ok: bool
    status: int | None = Field(description="What the receiver answered; null: nothing.")
    error: str | None
    latency_ms: int


class DeliveryOut(Schema):
    id: UUID
    event_id: UUID | None = Field(description="null: a test.")
    kind: str
    state: str = Field(description="pending, delivered or failed.")
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime


def show_webhook(webhook: Webhook) -> dict[str, Any]:
    """`webhook` as the API shows it."""
    same = ("url", "kinds", "enabled", "failing_since", "created_at")
    return {
        "id": webhook.pk,
        **{name: getattr(webhook, name) for name in same},
        "disabled_because": webhook.disabled_because or None,
    }


def show_delivery(delivery: WebhookDelivery) -> dict[str, Any]:
    """`delivery` as the API shows it. Needs its event to be loaded."""
    pending = delivery.state == WebhookDelivery.State.PENDING
    same = ("event_id", "state", "attempts", "delivered_at", "last_status", "created_at")
    return {
        "id": delivery.pk,
        "kind": delivery.event.kind if delivery.event else "webhook.test",
        **{name: getattr(delivery, name) for name in same},
        "next_attempt_at": delivery.next_attempt_at if pending else None,
        "last_error": delivery.last_error or None,
    }
