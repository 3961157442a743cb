"""Gets messages to their receivers: what is due is claimed, posted, and tried again after ever longer pauses.

A claim is a lease: who attempts a delivery moves its `next_attempt_at` behind the attempt's end, so that no other
worker takes it, and that the attempt of a worker that dies is made again.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from django.db import connection, transaction
from django.utils import timezone

from accounts import audit
from accounts.events import raise_event
from accounts.models import Event
from keys import vault
from keys.models import Webhook, WebhookDelivery
from keys.webhooks import signing
from keys.webhooks.posting import Posted, post

logger = logging.getLogger(__name__)

State = WebhookDelivery.State

TEST = "webhook.test"
# Seconds that a receiver has for its answer; Standard Webhooks recommends 15 to 30, and workers are few.
PATIENCE: Final = 15.0
LEASE: Final = timedelta(seconds=60)
# Between the attempts of one delivery: some 28 hours in all, as Standard Webhooks suggests.
PAUSES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
)
# After one attempt that was not answered, the other messages of its webhook wait as long, and not longer than this:
# the workers' time is everybody's.
SPARED: Final = timedelta(seconds=60)
# A receiver at which nothing has arrived for so long is asked no more.
HOPELESS: Final = timedelta(hours=24)
# RFC 9110: the resource is gone for good. A receiver says so to be left alone.
GONE: Final = 410
# Attempted at once, so that a claim lasts longer than they take.
BATCH: Final = 16


@dataclass(frozen=True)
class Message:
    """A delivery made ready, so that it can be posted from a thread that asks the database nothing."""

    delivery: WebhookDelivery
    headers: dict[str, str]
    body: bytes
    # Why it cannot be sent; "" when it can.
    flaw: str = ""

    def post(self) -> Posted:
        """Send it. Raises nothing that the receiver could cause."""
        if self.flaw:
            return Posted(None, self.flaw, 0)
        return post(self.delivery.webhook.url, self.headers, self.body, PATIENCE)


def deliver_due() -> int:
    """Attempt every delivery that is due, several at once; how many there were."""
    done = 0
    while claimed := _claim():
        messages = [message(delivery) for delivery in claimed]
        if not connection.in_atomic_block:
            connection.close()  # receivers take their time; the pool's connections are for others meanwhile
        with ThreadPoolExecutor(BATCH, thread_name_prefix="webhook") as threads:
            for ready, posted in zip(messages, threads.map(Message.post, messages), strict=True):
                settle(ready.delivery, posted)
        done += len(claimed)
    return done


def message(delivery: WebhookDelivery) -> Message:
    """The message of `delivery`, signed now. Needs its webhook and its event to be loaded."""
    id, body = f"msg_{delivery.pk.hex}", payload(delivery.event, delivery.webhook)
    try:
        secret = vault.open_(delivery.webhook.secret)
    except vault.VaultError:
        return Message(delivery, {}, b"", "Its secret does not open any more; make a new one.")
    signed = signing.headers(secret, id, int(timezone.now().timestamp()), body)
    return Message(delivery, {"Content-Type": "application/json", "User-Agent": "llm-gateway", **signed}, body)


def payload(event: Event | None, webhook: Webhook) -> bytes:
    """What receivers get: `{type, timestamp, data, id, workspace_id}`; without event a test of `webhook`."""
    about: dict[str, Any] = {
        "type": event.kind if event else TEST,
        "timestamp": _rfc3339(event.created_at if event else timezone.now()),
        "data": event.data if event else {"webhook_id": str(webhook.pk)},
        "id": str(event.pk) if event else None,
        "workspace_id": str(webhook.workspace_id),
    }
    return orjson.dumps(about)


@transaction.atomic
def settle(delivery: WebhookDelivery, posted: Posted) -> None:
    """Keep how an attempt of `delivery` ended, and when the next one is; switch off a webhook that is beyond hope."""
    webhook = Webhook.objects.select_for_update().filter(pk=delivery.webhook_id).first()
    if webhook is None:
        return
    now = timezone.now()
    delivery.attempts += 1
    delivery.last_status, delivery.last_error, delivery.last_ms = posted.status, posted.error[:300], posted.ms
    if posted.ok:
        delivery.state, delivery.delivered_at, webhook.failing_since = State.DELIVERED, now, None
    else:
        webhook.failing_since = webhook.failing_since or now
        if delivery.attempts > len(PAUSES) or not webhook.enabled or delivery.event_id is None:
            delivery.state = State.FAILED
        else:
            delivery.next_attempt_at = now + PAUSES[delivery.attempts - 1]
            if posted.status is None:
                _spare(delivery, now + min(PAUSES[delivery.attempts - 1], SPARED))
    delivery.save()
    webhook.save(update_fields=["failing_since"])
    if not posted.ok and webhook.enabled and (why := _beyond_hope(webhook, posted, now)):
        _disable(webhook, why)


def _spare(delivery: WebhookDelivery, until: datetime) -> None:
    """Ask a receiver that did not answer for no other message of the same webhook `until` then."""
    others = WebhookDelivery.objects.filter(webhook=delivery.webhook_id, state=State.PENDING).exclude(pk=delivery.pk)
    others.filter(next_attempt_at__lt=until).update(next_attempt_at=until)


def _claim() -> Sequence[WebhookDelivery]:
    """Some deliveries that are due, which nobody else attempts for as long as the lease lasts.

    One of each webhook, so that a receiver that never answers holds up its own messages, and hardly those of others.
    """
    now = timezone.now()
    with transaction.atomic():
        due = WebhookDelivery.objects.filter(state=State.PENDING, next_attempt_at__lte=now, webhook__enabled=True)
        first = due.order_by("webhook_id", "next_attempt_at").distinct("webhook_id").values("pk")
        ids = (
            due.filter(pk__in=first)
            .select_for_update(skip_locked=True, of=("self",))
            .order_by("next_attempt_at")
            .values_list("pk")[:BATCH]
        )
        claimed = [id for (id,) in ids]
        WebhookDelivery.objects.filter(pk__in=claimed).update(next_attempt_at=now + LEASE)
    return list(WebhookDelivery.objects.filter(pk__in=claimed).select_related("webhook", "event"))


def _beyond_hope(webhook: Webhook, posted: Posted, now: datetime) -> str:
    """Why the webhook should be switched off; "" when it should not."""
    if posted.status == GONE:
        return "Its receiver answered 410: it is gone for good."
    if webhook.failing_since and now - webhook.failing_since >= HOPELESS:
        return f"Nothing has arrived since {webhook.failing_since:%d %b %Y %H:%M} UTC. {posted.error}"
    return ""


def give_up(webhook: Webhook) -> None:
    """Fail what is still on its way to a webhook that was switched off: nobody wants it a week later."""
    pending = webhook.deliveries.filter(state=State.PENDING)
    pending.update(state=State.FAILED, last_error="The webhook was switched off.")


def _disable(webhook: Webhook, why: str) -> None:
    webhook.enabled, webhook.disabled_because = False, why[:300]
    webhook.save(update_fields=["enabled", "disabled_because"])
    audit.record(
        None, "webhook.changed", webhook, old={"enabled": True, "disabled_because": ""},
        new={"enabled": False, "disabled_because": webhook.disabled_because}, workspace=webhook.workspace,
    )  # fmt: skip
    give_up(webhook)
    logger.warning("webhook %s is switched off", webhook.pk)
    data = {"webhook_id": str(webhook.pk), "host": webhook.audit_name, "reason": webhook.disabled_because}
    raise_event(webhook.workspace_id, "webhook.disabled", f"webhook:{webhook.pk}:{timezone.now().isoformat()}", data)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
