"""`/api/webhooks`: where a workspace's events are sent. For admins: an address may be as good as a password."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from ninja import Query, Router, Status

from accounts.access import Action, Caller, get_or_404, require, scoped
from accounts.auth import ApiRequest, api_auth
from gateway_project.lib.pagination import ListOf, PageQuery, paginate
from keys.models import Webhook
from keys.webhooks import services
from keys.webhooks.schemas import (
    DeliveryOut,
    NewWebhook,
    TestOut,
    WebhookChange,
    WebhookOut,
    WebhookWithSecret,
    show_delivery,
    show_webhook,
)

router = Router(auth=api_auth, tags=["Accounts"])


@router.get("", response=ListOf[WebhookOut], summary="List webhooks")
def list_webhooks(request: ApiRequest, page: Query[PageQuery]) -> dict[str, Any]:
    return paginate(_webhooks(request.auth), limit=page.limit, cursor=page.cursor).shown(show_webhook)


@router.post("", response={201: WebhookWithSecret}, summary="Create a webhook")
def create_webhook(request: ApiRequest, response: HttpResponse, payload: NewWebhook) -> Status[dict[str, Any]]:
    """Events are posted as JSON `{id, type, timestamp, workspace_id, data}`, with `data` as `GET /api/events` has it.

    Messages are signed as [Standard Webhooks](https://www.standardwebhooks.com/) has it; `secret` is shown this once.
    The header `webhook-signature` holds `v1,` and the base64 of the HMAC-SHA256 of the header `webhook-id`, a dot, the
    header `webhook-timestamp`, a dot and the body as it came; its key is what follows `whsec_`, decoded from base64.
    `webhook-id` is the same in each attempt. An answer of 2xx is a receipt; anything else is tried again for a day,
    and then, or with 410 at once, the webhook is switched off.
    """
    response["cache-control"] = "no-store"
    webhook, secret = services.create_webhook(request.auth, payload)
    return Status(201, {**show_webhook(webhook), "secret": secret.reveal()})


@router.patch("/{webhook_id}", response=WebhookOut, summary="Change a webhook")
def change_webhook(request: ApiRequest, webhook_id: str, payload: WebhookChange) -> dict[str, Any]:
    return show_webhook(services.change_webhook(request.auth, _webhook(request.auth, webhook_id), payload))


@router.delete("/{webhook_id}", response={204: None}, summary="Remove a webhook")
def remove_webhook(request: ApiRequest, webhook_id: str) -> Status[None]:
    services.remove_webhook(request.auth, _webhook(request.auth, webhook_id))
    return Status(204, None)


@router.post("/{webhook_id}/rotate", response={201: WebhookWithSecret}, summary="Give a webhook a new secret")
def rotate_webhook(request: ApiRequest, response: HttpResponse, webhook_id: str) -> Status[dict[str, Any]]:
    """From now on messages are signed with it alone."""
    response["cache-control"] = "no-store"
    webhook, secret = services.rotate_webhook(request.auth, _webhook(request.auth, webhook_id))
    return Status(201, {**show_webhook(webhook), "secret": secret.reveal()})


@router.post("/{webhook_id}/test", response=TestOut, summary="Send a test message")
def test_webhook(request: ApiRequest, webhook_id: str) -> dict[str, Any]:
    """Sends a message of the type `webhook.test` and waits for the answer."""
    posted = services.test_webhook(request.auth, _webhook(request.auth, webhook_id))
    return {"ok": posted.ok, "status": posted.status, "error": posted.error or None, "latency_ms": posted.ms}


@router.get("/{webhook_id}/deliveries", response=ListOf[DeliveryOut], summary="List a webhook's messages")
def list_deliveries(request: ApiRequest, webhook_id: str, page: Query[PageQuery]) -> dict[str, Any]:
    """Newest first; each is kept for 30 days."""
    deliveries = _webhook(request.auth, webhook_id).deliveries.select_related("event")
    return paginate(deliveries, limit=page.limit, cursor=page.cursor).shown(show_delivery)


def _webhooks(caller: Caller) -> QuerySet[Webhook]:
    require(caller, Action.MANAGE_WEBHOOKS)
    return scoped(Webhook.objects.defer("secret"), caller)


def _webhook(caller: Caller, id: str) -> Webhook:
    require(caller, Action.MANAGE_WEBHOOKS)
    return get_or_404(Webhook.objects.all(), caller, id)
