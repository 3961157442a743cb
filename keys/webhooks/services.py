"""What can be done to a webhook. Each checks the caller's role; the webhook is of the caller's workspace."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone
from yarl import URL

from accounts import audit
from accounts.access import Action, Caller, require, scoped
from accounts.models import Event, Workspace
from gateway_project.lib.database import constraint_of
from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound
from gateway_project.lib.net import look_up
from gateway_project.lib.schemas import parse
from keys import vault
from keys.models import Webhook, WebhookDelivery
from keys.webhooks import sending, signing
from keys.webhooks.posting import Posted
from keys.webhooks.schemas import NewWebhook, WebhookChange

MAX_WEBHOOKS = 10


@transaction.atomic
def create_webhook(caller: Caller, data: NewWebhook | Mapping[str, Any]) -> tuple[Webhook, vault.Secret]:
    """A new webhook and its secret, which nobody can see again.

    Raises PermissionDenied, InvalidRequest naming the field, Conflict when there are `MAX_WEBHOOKS` or one of its URL.
    """
    require(caller, Action.MANAGE_WEBHOOKS)
    fields = parse(NewWebhook, data)
    _check_url(fields.url)
    Workspace.objects.select_for_update(no_key=True).get(pk=caller.workspace.pk)  # two at once are not one too many
    if scoped(Webhook.objects.all(), caller).count() >= MAX_WEBHOOKS:
        raise Conflict(f"A workspace has at most {MAX_WEBHOOKS} webhooks; remove one first.")
    secret = signing.new_secret()
    webhook = Webhook(workspace=caller.workspace, created_by=caller.user, secret=vault.seal(secret.reveal()))
    webhook.url, webhook.kinds, webhook.enabled = fields.url, fields.kinds or [], fields.enabled
    _save(webhook, force_insert=True)
    audit.record(caller, "webhook.created", webhook, new=_facts(webhook))
    return webhook, secret


@transaction.atomic
def change_webhook(caller: Caller, webhook: Webhook, data: WebhookChange | Mapping[str, Any]) -> Webhook:
    """Set the fields that `data` has. Switched on again, it has a clean slate.

    Raises PermissionDenied, InvalidRequest naming the field, Conflict when another one has the URL, NotFound.
    """
    require(caller, Action.MANAGE_WEBHOOKS)
    fields = parse(WebhookChange, data)
    changed = fields.model_fields_set
    if "url" in changed:
        _check_url(fields.url)
    locked = _locked(webhook)
    with audit.changes(caller, "webhook.changed", locked, _facts):
        for name in changed:
            setattr(locked, name, getattr(fields, name) or [] if name == "kinds" else getattr(fields, name))
        if changed & {"url", "enabled"}:
            locked.disabled_because, locked.failing_since = "", None
        _save(locked)
    if not locked.enabled:
        sending.give_up(locked)
    return locked


@transaction.atomic
def rotate_webhook(caller: Caller, webhook: Webhook) -> tuple[Webhook, vault.Secret]:
    """Give `webhook` a new secret, which is returned; every message from now on is signed with it."""
    require(caller, Action.MANAGE_WEBHOOKS)
    locked, secret = _locked(webhook), signing.new_secret()
    with audit.changes(caller, "webhook.rotated", locked, _facts):
        locked.secret = vault.seal(secret.reveal())
        locked.save(update_fields=["secret"])
    return locked, secret


@transaction.atomic
def remove_webhook(caller: Caller, webhook: Webhook) -> None:
    """Remove `webhook` with the log of its deliveries."""
    require(caller, Action.MANAGE_WEBHOOKS)
    locked = _locked(webhook)
    audit.record(caller, "webhook.removed", locked, old=_facts(locked))
    locked.delete()


def test_webhook(caller: Caller, webhook: Webhook) -> Posted:
    """Send a message of the kind `webhook.test` now, whether or not `webhook` is enabled; how it fared."""
    require(caller, Action.MANAGE_WEBHOOKS)
    later = timezone.now() + sending.LEASE
    delivery = WebhookDelivery.objects.create(webhook=webhook, next_attempt_at=later)
    ready = sending.message(delivery)
    if not connection.in_atomic_block:
        connection.close()
    posted = ready.post()
    sending.settle(delivery, posted)
    return posted


def enter_event(event: Event, **_: Any) -> None:
    """Put `event` on its way to the webhooks that want it; receives `accounts.events.event_raised`."""
    from keys.tasks import deliver_webhooks

    wanted = Webhook.objects.filter(Q(kinds=[]) | Q(kinds__contains=[event.kind]), workspace=event.workspace_id)
    deliveries = [WebhookDelivery(webhook=webhook, event=event) for webhook in wanted.filter(enabled=True)]
    if WebhookDelivery.objects.bulk_create(deliveries):
        # Should the broker be away, the beat's next round finds them.
        transaction.on_commit(deliver_webhooks.delay, robust=True)


def _locked(webhook: Webhook) -> Webhook:
    locked = Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
    if locked is None:
        raise NotFound("There is no such webhook.")
    return locked


def _save(webhook: Webhook, *, force_insert: bool = False) -> None:
    """Raises Conflict when another one of the workspace has its address."""
    try:
        with transaction.atomic():
            webhook.save(force_insert=force_insert)
    except IntegrityError as error:
        if constraint_of(error) != "webhook_url_in_workspace":
            raise
        raise Conflict("url: there is a webhook with this address already.", param="url") from None


def _check_url(url: str) -> None:
    """Raises InvalidRequest when nothing may be sent there, or not without TLS."""
    try:
        parsed = URL(url)
        destination = look_up(str(parsed.with_query(None)), settings.ALLOWED_PRIVATE_HOSTS)
    except ValueError as error:
        raise InvalidRequest(f"url: {error}", param="url") from None
    if parsed.scheme != "https" and not destination.local:
        raise InvalidRequest("url: must start with https:// unless the operator lists its host.", param="url")


def _facts(webhook: Webhook) -> audit.Facts:
    """What the audit trail keeps of a webhook: of its secret the fingerprint, and of its address, as whoever knows that
    may post there, the host and a fingerprint.
    """
    address = f"{URL(webhook.url).origin()}/… ({vault.fingerprint(vault.Secret(webhook.url))})"
    try:
        secret = vault.fingerprint(vault.open_(webhook.secret))
    except vault.VaultError:  # it can be replaced and removed all the same
        secret = "unreadable"  # noqa: S105
    return {"url": address, "kinds": webhook.kinds, "enabled": webhook.enabled, "secret": secret}
