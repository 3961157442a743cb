"""The ledger: one record for each request, written once and never changed, and what the records of a day come to."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from accounts.models import Workspace

# What an attempt's `error` begins with that is told although its target was passed by: it could not be paid for.
NOT_ASKED = "not asked: "
# What one request costs less than, in USD: its column holds no more.
MOST_USD = 10**12


class UsageRecord(models.Model):
    """A request that was answered, failed or given up. Its id is the answer's `x-request-id`.

    Rows come from the spool (`analytics/spool.py`) in SQL, not through this class, which reads them.
    Keys and providers are named by value: they may be gone when the record is read.
    """

    id = models.UUIDField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    created_at = models.DateTimeField(help_text="When the request arrived.")
    key_id = models.UUIDField(null=True, help_text="The gateway key; null for a call from the console.")
    user_id = models.UUIDField(null=True, help_text="Who made the key, or calls from the console.")
    client_request_id = models.CharField(max_length=200, blank=True, help_text="The client's own x-request-id.")

    endpoint = models.CharField(max_length=60, help_text="The path that was called, such as /v1/chat/completions.")
    requested_model = models.CharField(max_length=300, blank=True)
    provider = models.CharField(max_length=60, blank=True, help_text="Name of the provider that answered last.")
    provider_kind = models.CharField(max_length=30, blank=True)
    model = models.CharField(max_length=300, blank=True, help_text="The model that was asked upstream.")
    stream = models.BooleanField(default=False)
    complexity = models.CharField(max_length=10, blank=True)
    privacy = models.CharField(max_length=5, blank=True, help_text="local or cloud: where the answer was made.")
    cache = models.CharField(max_length=10, blank=True, help_text="miss, hit, semantic or off.")
    policy = models.CharField(max_length=120, blank=True)
    policy_version = models.PositiveIntegerField(null=True, help_text="Null where no policy of the workspace ruled.")
    complexity_score = models.FloatField(null=True, help_text="0 to 1, higher is harder; null when not classified.")
    # Null in records that were spooled before this column was.
    task = models.CharField(max_length=10, null=True, help_text="chat, vision or ocr.")  # noqa: DJ001
    candidates = models.JSONField(
        null=True, help_text="[[provider/model, score or why not]], in the order in which they stood to be asked."
    )
    evidence = models.JSONField(
        null=True, help_text="[{model, complexity, signal}]: what the request says of models' answers."
    )

    status = models.PositiveSmallIntegerField(help_text="HTTP status; 499 when the client left.")
    error_code = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=500, blank=True)
    attempts = models.JSONField(default=list, help_text="[{provider, model, status, error, ms}], in order.")

    prompt_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0, help_text="Of the prompt's, those read from a cache.")
    completion_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0, help_text="Of the completion's, those not shown.")
    usage_estimated = models.BooleanField(default=False, help_text="Counted here: no upstream sent usage.")
    cost_usd = models.DecimalField(max_digits=24, decimal_places=12, default=0)
    saved_usd = models.DecimalField(
        max_digits=24, decimal_places=12, default=0, db_default=0, help_text="What the cache made it cost less."
    )
    price = models.JSONField(default=dict, help_text="The price used: USD per token, and where it came from.")

    latency_ms = models.PositiveIntegerField(help_text="From the request's last byte to the answer's last byte.")
    ttft_ms = models.PositiveIntegerField(null=True, help_text="To the answer's first byte.")
    metadata = models.JSONField(default=dict)
    replay_of = models.UUIDField(null=True, help_text="The request whose answer was given again: Idempotency-Key.")
    # Not in the lines of requests that were not answered from documents. At most 50 ids.
    grounding = models.JSONField(
        null=True, help_text="{library, documents: [id], passages, mode}: the documents that the model was shown of."
    )

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-created_at", "-id"], name="usage_newest"),
            models.Index(fields=["key_id", "-created_at"], name="usage_by_key"),
            # What is looked for among a million others.
            models.Index(fields=["workspace", "model", "-created_at", "-id"], name="usage_by_model"),
            models.Index(
                fields=["workspace", "-created_at", "-id"], name="usage_failed", condition=models.Q(status__gte=400)
            ),
            models.Index(
                fields=["workspace", "client_request_id"],
                name="usage_by_client_id",
                condition=~models.Q(client_request_id=""),
            ),
        ]
        constraints = [
            # In a sum, one amount that is no number ("NaN" is the greatest to Postgres) leaves nothing to be told.
            models.CheckConstraint(
                name="usage_is_money",
                condition=models.Q(cost_usd__gte=0, cost_usd__lt=MOST_USD, saved_usd__gte=0, saved_usd__lt=MOST_USD),
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class RequestContent(models.Model):
    """What was asked and answered, encrypted: only of workspaces that chose to keep it (`analytics/content.py`)."""

    id = models.UUIDField(primary_key=True, help_text="The request's.")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    created_at = models.DateTimeField()
    # Ciphertext; only keys/vault.py turns it back.
    sealed = models.BinaryField(editable=False)
    documents = ArrayField(
        models.UUIDField(), null=True, help_text="Those that the model was shown of: it goes with any of them."
    )

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "created_at"], name="content_by_age"),
            GinIndex(fields=["documents"], name="content_by_document", condition=models.Q(documents__isnull=False)),
        ]

    def __str__(self) -> str:
        return str(self.id)


class LedgerClock(models.Model):
    """How many batches have been entered: one row, whose lock makes the writers of all processes take turns.

    Whoever reads `batch` and a sum in one statement knows which batches the sum holds: all up to that one.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    batch = models.PositiveBigIntegerField(default=0)
    kept_since = models.DateField(
        null=True, help_text="Records of earlier days were dropped; what they came to stands in the rollups alone."
    )

    def __str__(self) -> str:
        return f"batch {self.batch}"


class Rollup(models.Model):
    """What the records of a workspace and a UTC day that have the same dimensions come to (`analytics/rollups.py`).

    Latencies are those of answered requests (a status below 400), which are `requests - errors`.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField(help_text="UTC, of created_at.")

    provider = models.TextField(default="")
    provider_kind = models.TextField(default="")
    model = models.TextField(default="")
    policy = models.TextField(default="")
    privacy = models.TextField(default="")
    cache = models.TextField(default="")
    complexity = models.TextField(default="")

    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0, help_text="With a status of 400 or more.")
    streams = models.BigIntegerField(default=0)
    estimated = models.BigIntegerField(default=0, help_text="Whose tokens were counted here: no upstream sent usage.")
    unpriced = models.BigIntegerField(default=0, help_text="Whose tokens cost something that nobody knows.")
    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=30, decimal_places=12, default=0)
    saved_usd = models.DecimalField(max_digits=30, decimal_places=12, default=0)
    latency_ms_sum = models.BigIntegerField(default=0)
    ttft_ms_sum = models.BigIntegerField(default=0)
    ttft_count = models.BigIntegerField(default=0, help_text="Answered requests that have a time to the first byte.")
    latency_hist = ArrayField(
        models.BigIntegerField(null=True),
        default=list,
        help_text="How many latencies lie between two of rollups.BOUNDS; null is none, and takes no room.",
    )

    class Meta:
        abstract = True


class DailyUsage(Rollup):
    """By all dimensions. Where requests are many and neither key nor user matters, `DailyTotal` has fewer rows."""

    key_id = models.UUIDField(null=True)
    user_id = models.UUIDField(null=True)

    class Meta:
        constraints = [
            # It begins as a scan of a workspace's days does, so that those need no index of their own.
            models.UniqueConstraint(
                fields=[
                    "workspace", "day", "key_id", "user_id", "provider", "provider_kind", "model", "policy", "privacy",
                    "cache", "complexity",
                ],
                name="one_daily_usage_each",
                nulls_distinct=False,
            )
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["key_id", "day"], name="daily_usage_by_key"),
            models.Index(fields=["user_id", "day"], name="daily_usage_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.workspace_id} on {self.day}"


class DailyTotal(Rollup):
    """The same over all keys and users: few rows, however many keys there are."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "day", "provider", "provider_kind", "model", "policy", "privacy", "cache",
                        "complexity"],
                name="one_daily_total_each",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.workspace_id} on {self.day}"
