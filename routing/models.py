"""What a workspace decided about routing, and what it learnt: policies, settings of models, evidence of their quality.

Triggers announce every change of these rows to the processes that keep a picture of them (routing/snapshot.py).
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from pgvector.django import HalfVectorField

from accounts.models import User, Workspace
from gateway_project.lib.ids import uuid7
from keys.models import Provider


class Complexity(models.TextChoices):
    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"
    EXPERT = "expert"


class Policy(models.Model):
    """How requests of a workspace are routed. What it says is its newest `PolicyVersion`; those never change."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="policies")
    name = models.CharField(max_length=60)
    # The version that is in force.
    version = models.PositiveIntegerField(default=1)
    # In force where neither the request nor its key names a policy.
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint("workspace", Lower("name"), name="policy_name_in_workspace"),
            models.UniqueConstraint(fields=["workspace"], condition=Q(is_default=True), name="one_default_policy"),
        ]
        indexes = [models.Index(fields=["workspace", "-created_at", "-id"], name="policy_by_workspace")]

    def __str__(self) -> str:
        return self.name


class PolicyVersion(models.Model):
    """What a policy said from one change to the next. `document` is whole: `policy_document` filled its defaults in."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    document = models.JSONField()
    # What was done, in a few words for the list of versions.
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["policy", "version"], name="policy_version_once")]

    def __str__(self) -> str:
        return f"version {self.version}"


class ModelSettings(models.Model):
    """What a workspace knows better about a model at one of its providers; null: what the catalog says holds."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="model_settings")
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="model_settings")
    model = models.CharField(max_length=300)
    # USD per million tokens.
    input_usd_per_mtok = models.DecimalField(max_digits=24, decimal_places=12, null=True, blank=True)
    cached_input_usd_per_mtok = models.DecimalField(max_digits=24, decimal_places=12, null=True, blank=True)
    output_usd_per_mtok = models.DecimalField(max_digits=24, decimal_places=12, null=True, blank=True)
    # 0 to 1, higher is better.
    quality = models.FloatField(null=True, blank=True)
    # Tokens.
    context_window = models.PositiveIntegerField(null=True, blank=True)
    enabled = models.BooleanField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "model settings"
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="model_settings_once")]

    def __str__(self) -> str:
        return self.model


class Evidence(models.Model):
    """How answers of a model turned out in a workspace: sums of weights, by the request's complexity.

    Only `routing.calibration` and what it calls write it.
    """

    class Source(models.TextChoices):
        EXPLICIT = "explicit"
        IMPLICIT = "implicit"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=300)
    complexity = models.CharField(max_length=10, choices=Complexity.choices)
    source = models.CharField(max_length=10, choices=Source.choices)
    good = models.FloatField(default=0)
    bad = models.FloatField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "model", "complexity", "source"], name="evidence_once")
        ]

    def __str__(self) -> str:
        return f"{self.model}, {self.complexity}, {self.source}"


class Feedback(models.Model):
    """What a caller said of one answer; the last word counts. The request may be older than the ledger remembers."""

    request_id = models.UUIDField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    key_id = models.UUIDField(null=True, blank=True)
    provider = models.CharField(max_length=60, blank=True)
    model = models.CharField(max_length=300)
    complexity = models.CharField(max_length=10, choices=Complexity.choices)
    # -1 (bad) to 1 (good).
    score = models.FloatField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return f"{self.score:+g} for {self.request_id}"


class IdempotentRequest(models.Model):
    """A request that carried an `Idempotency-Key`: one that is being answered (`lease_until`), or its first answer.

    Only `routing.idempotency` writes it. The answer is sealed by the vault, and gone a day after its request.
    """

    # The request that holds the key, or whose answer it keeps: its id in the ledger.
    id = models.UUIDField(primary_key=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    key_id = models.UUIDField()
    # Digests of the idempotency key's value, and of what was asked.
    name = models.BinaryField(max_length=32)
    fingerprint = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(db_index=True)
    # While it is being answered: until when its process vouches for that without saying so anew.
    lease_until = models.DateTimeField(null=True, blank=True)
    # Of the first answer; null while there is none.
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    headers = models.JSONField(null=True, blank=True)
    # The body, compressed and sealed; null of an answer that was too large to be kept, or quotes what was deleted.
    sealed = models.BinaryField(null=True, blank=True)
    # Those that it was made from, if any was.
    documents = ArrayField(models.UUIDField(), null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key_id", "name"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return str(self.id)


class BudgetTill(models.Model):
    """Where all processes together reserve of budgets, in one row. Each change of it is a new generation."""

    generation = models.BigIntegerField(default=1)
    place = models.CharField(max_length=10, default="redis", help_text="redis or postgres")

    def __str__(self) -> str:
        return f"{self.place}, generation {self.generation}"


class BudgetTeller(models.Model):
    """A process that reserves of budgets: it has brought what it holds to the till of `generation`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    generation = models.BigIntegerField()
    seen_at = models.DateTimeField(default=timezone.now)
    # The folder in which its records wait for the ledger, and whether it reaches Redis.
    spool = models.CharField(max_length=400)
    redis = models.BooleanField(default=True)

    def __str__(self) -> str:
        return str(self.id)


class BudgetPage(models.Model):
    """What is known of one budgeted scope while Postgres is the till, for `routing.budgets.in_postgres`."""

    ref = models.CharField(primary_key=True, max_length=120)
    generation = models.BigIntegerField()
    content = models.JSONField()

    def __str__(self) -> str:
        return self.ref


# --- The semantic cache (routing/cache/semantic) --------------------------------------------------


class SemanticShelf(models.Model):
    """What a workspace holds in the semantic cache; its row is locked by whoever adds to it or purges it."""

    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, primary_key=True, related_name="+")
    entries = models.IntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    # What was asked before this moment must not be kept.
    purged_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.entries} answers"


class SemanticAnswer(models.Model):
    """An answer that may be given to those who ask alike; for how it is found see `routing.cache.semantic.store`."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    # Digests: of all that must be equal, and of the whole request.
    scope = models.BinaryField(max_length=20)
    key = models.BinaryField(max_length=20, unique=True)
    # Model, revision and dimension: vectors of different ones never meet.
    space = models.CharField(max_length=200)
    embedding = HalfVectorField()
    # The prompt and the answer, encrypted.
    sealed = models.BinaryField()
    size = models.IntegerField()
    # What a purge names.
    key_id = models.UUIDField()
    policy_id = models.CharField(max_length=36, blank=True)
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=300)
    requested_model = models.CharField(max_length=300)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    used_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["scope", "space"], name="semantic_answer_scope"),
            models.Index(fields=["workspace", "used_at"], name="semantic_answer_used"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class SemanticCheck(models.Model):
    """A hit that was answered afresh, and whether the two answers say the same."""

    # The fresh answer's own request in the ledger, and the request that was given the stored one.
    id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.UUIDField()
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    policy_id = models.CharField(max_length=36, blank=True)
    space = models.CharField(max_length=200)
    # Cosines: of the two prompts, and of the two answers.
    similarity = models.FloatField()
    agreement = models.FloatField()
    judged = models.BooleanField(default=False)
    verdict = models.CharField(max_length=10, help_text="right, wrong or unsure")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["workspace", "policy_id", "created_at"], name="semantic_check_policy")]

    def __str__(self) -> str:
        return f"{self.id}: {self.verdict}"


class SemanticThreshold(models.Model):
    """How far a policy's threshold has moved by itself, in one space of vectors."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    policy_id = models.CharField(max_length=36, blank=True)
    space = models.CharField(max_length=200)
    value = models.FloatField()
    moved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "policy_id", "space"], name="semantic_threshold_once"),
        ]

    def __str__(self) -> str:
        return f"{self.value:.3f}"
