"""Gateway keys (a keyed hash each), and what has a secret of its own (ciphertext each): providers and webhooks."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import MD5, Lower
from django.utils import timezone
from yarl import URL

from accounts.models import BudgetPeriod, Event, Limited, User, Workspace
from gateway_project.lib.ids import uuid7

__all__ = [
    "BudgetPeriod",
    "GatewayKey",
    "InstallationSecret",
    "KeySecret",
    "Locality",
    "PrivacyMode",
    "Provider",
    "Scope",
    "Webhook",
    "WebhookDelivery",
    "all_scopes",
]


class PrivacyMode(models.TextChoices):
    STRICT = "strict"
    FLEXIBLE = "flexible"


class Scope(models.TextChoices):
    INFERENCE = "inference"
    DOCUMENTS_READ = "documents:read"
    DOCUMENTS_WRITE = "documents:write"


def all_scopes() -> list[str]:
    return [str(scope) for scope in Scope.values]


class GatewayKey(Limited):
    """What a caller of `/v1` is: its rights and limits. Its secrets are `KeySecret` rows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="gateway_keys")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # Kept by the ledger as it settles, so that a list of keys needs no sum over their requests.
    last_used_at = models.DateTimeField(null=True, blank=True)
    spent_usd = models.DecimalField(max_digits=30, decimal_places=12, default=0)

    allowed_models = ArrayField(models.CharField(max_length=300), null=True, blank=True)
    policy = models.CharField(max_length=120, blank=True)
    privacy_mode = models.CharField(max_length=10, choices=PrivacyMode.choices, blank=True)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices), default=all_scopes)

    class Meta:
        indexes = [models.Index(fields=["workspace", "-created_at"], name="key_by_workspace")]

    def __str__(self) -> str:
        return self.name


class KeySecret(models.Model):
    """One secret of a gateway key. Rotation adds one and lets the older ones expire."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.ForeignKey(GatewayKey, on_delete=models.CASCADE, related_name="secrets")
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    prefix = models.CharField(max_length=12)
    last4 = models.CharField(max_length=4)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.prefix}…{self.last4}"


class Locality(models.TextChoices):
    LOCAL = "local"
    CLOUD = "cloud"


class Provider(models.Model):
    """Where requests can go: a provider kind with an address, a secret and the models it serves."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="providers")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=30)
    name = models.CharField(max_length=60)
    base_url = models.CharField(max_length=500, blank=True)
    # Ciphertext; only keys/vault.py turns it back.
    secret = models.BinaryField(null=True, blank=True, editable=False)
    secret_hint = models.CharField(max_length=4, blank=True)
    locality = models.CharField(max_length=5, choices=Locality.choices)
    enabled = models.BooleanField(default=True)
    # Set by the operator through a variable such as OPENAI_API_KEY; not editable in the console.
    from_environment = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # The models the user named (empty: whatever the provider lists), and what it listed last.
    model_ids = ArrayField(models.CharField(max_length=300), default=list, blank=True)
    discovered_models = ArrayField(models.CharField(max_length=300), default=list, blank=True)
    discovered_at = models.DateTimeField(null=True, blank=True)
    # Which of them its server holds in memory (null: it does not say), and what it says of them beyond their names:
    # `keys.probe.ListedModel` as JSON, by name.
    loaded_models = ArrayField(models.CharField(max_length=300), null=True, blank=True)
    model_details = models.JSONField(default=dict, blank=True)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint("workspace", Lower("name"), name="provider_name_in_workspace")]

    def __str__(self) -> str:
        return self.name

    def forget_models(self) -> None:
        """Nothing is known of the models of another server."""
        self.discovered_models, self.discovered_at = [], None
        self.loaded_models, self.model_details = None, {}


class InstallationSecret(models.Model):
    """A secret that the installation made for itself, encrypted like the providers' secrets.

    `gateway-key-pepper` keys the hash of gateway keys. Since it must decrypt at every start, it also
    tells whether `ENCRYPTION_KEY` is the right one.
    """

    name = models.CharField(primary_key=True, max_length=60)
    ciphertext = models.BinaryField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name


class Webhook(models.Model):
    """An address that a workspace's events are sent to, signed with a secret that its receiver has as well."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="webhooks")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    url = models.CharField(max_length=1000)
    # Of `accounts.events.KINDS`; none: every kind.
    kinds = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    # Ciphertext; only keys/vault.py turns it back.
    secret = models.BinaryField(editable=False)
    enabled = models.BooleanField(default=True)
    # Why the gateway itself switched it off, for people; "" when it did not.
    disabled_because = models.CharField(max_length=300, blank=True, editable=False)
    # Since when no delivery has arrived; null: the last one did.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        # By its digest, since an address may be longer than what an index takes. Each event arrives there once.
        constraints = [models.UniqueConstraint("workspace", MD5("url"), name="webhook_url_in_workspace")]
        indexes = [models.Index(fields=["workspace", "-created_at", "-id"], name="webhook_by_workspace")]

    def __str__(self) -> str:
        return self.url

    @property
    def audit_name(self) -> str:
        """What the audit trail calls it: not by the whole address, which may be as good as a password."""
        return URL(self.url).host or ""


class WebhookDelivery(models.Model):
    """An event on its way to a webhook: one message, attempted until it arrives or hope is given up."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    # null: a test.
    event = models.ForeignKey(Event, on_delete=models.CASCADE, null=True, related_name="deliveries", db_index=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    # While somebody attempts it, when the attempt counts as lost.
    next_attempt_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)
    # Of the last attempt: the receiver's status (null: there was no answer), why it failed, and how long it took.
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    last_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [models.UniqueConstraint(fields=["webhook", "event"], name="webhook_event_once")]
        indexes = [
            models.Index(fields=["webhook", "-created_at", "-id"], name="delivery_by_webhook"),
            models.Index(fields=["next_attempt_at"], condition=models.Q(state="pending"), name="delivery_due"),
            models.Index(fields=["event"], name="delivery_by_event"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id or 'test'} to {self.webhook_id}"
