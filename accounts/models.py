"""Who may use the gateway: users, the workspaces they share, and their sign-ins."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone

from gateway_project.lib.ids import uuid7


class Role(models.TextChoices):
    """What a member may do, from most to least; `accounts.access` says what each one means."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A saved user with `password` hashed; no password means that none can log in with one."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """Addresses are compared without regard to case, so they are kept in lower case."""
        return (email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=self.normalize_email(username))


class User(AbstractBaseUser, PermissionsMixin):
    """A person, named by e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True, max_length=254)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    def __str__(self) -> str:
        return self.email

    @classmethod
    def normalize_username(cls, username: str) -> str:
        """Forms call this before they look for another user with the same address."""
        return UserManager.normalize_email(username)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new password ends every sign-in through the API, whoever changed it and where."""
        self.email = self.normalize_username(self.email)
        # Set by set_password; a hash that Django merely renews at login does not count.
        new_password = getattr(self, "_password", None) is not None and not self._state.adding
        super().save(*args, **kwargs)
        if new_password:
            self.api_sessions.filter(revoked_at=None).update(revoked_at=timezone.now())

    def get_short_name(self) -> str:
        return self.name or self.email.partition("@")[0]


class BudgetPeriod(models.TextChoices):
    """Calendar periods, UTC; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Limited(models.Model):
    """What may be limited and budgeted: a gateway key, a member with all the keys that they made, a workspace.

    null is no limit of its own. `rate_limit_requests` and `rate_limit_tokens` hold in any `rate_limit_window` seconds,
    `rate_limit_streams` at any moment; `budget_usd` in a `budget_period`.
    """

    budget_usd = models.DecimalField(max_digits=24, decimal_places=12, null=True, blank=True)
    budget_period = models.CharField(max_length=10, choices=BudgetPeriod.choices, blank=True)
    # When its spending was last set back, and what had been spent then of the period that held: that counts no more.
    budget_reset_at = models.DateTimeField(null=True, blank=True, editable=False)
    budget_reset_usd = models.DecimalField(max_digits=30, decimal_places=12, default=0, editable=False)
    # Since when there has been one without a break; the database keeps it. Nobody held what was spent before.
    budget_since = models.DateTimeField(null=True, blank=True, editable=False)
    rate_limit_requests = models.PositiveIntegerField(null=True, blank=True)
    rate_limit_window = models.PositiveIntegerField(null=True, blank=True)
    rate_limit_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    rate_limit_streams = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_limited(self) -> bool:
        """Whether it has any limit, or a budget."""
        limits = (self.budget_usd, self.rate_limit_requests, self.rate_limit_tokens, self.rate_limit_streams)
        return any(limit is not None for limit in limits)


class Workspace(Limited):
    """The tenant: every key, provider, policy, document and usage record belongs to exactly one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="workspaces")
    # Whether prompts and answers are kept, encrypted, and for how many days: never unless an owner says so.
    store_content = models.BooleanField(default=False, db_default=False)
    content_retention_days = models.PositiveSmallIntegerField(default=30, db_default=30)

    def __str__(self) -> str:
        return self.name


class Membership(Limited):
    """A user in a workspace. Its limits hold for all that they, or keys that they made, do there."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When they last looked at the workspace's events; null: never.
    events_seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "workspace"], name="one_membership_each")]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.workspace_id}"

    @property
    def audit_name(self) -> str:
        """What the audit trail calls it."""
        return self.user.email


class ApiSession(models.Model):
    """One sign-in through the API: the family of tokens that descends from it.

    An access token names the family and stops with it. `refresh_id` is the one refresh token that is
    still good; another one of the family was used before, so its return means theft.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_sessions")
    refresh_id = models.UUIDField(default=uuid7)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"])]

    def __str__(self) -> str:
        return str(self.id)


class Event(models.Model):
    """What happened in a workspace that its people should hear of, such as a budget that is nearly spent.

    `once_key` is what it is known by: of two raises with one key the second does nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=60)
    once_key = models.CharField(max_length=300)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "once_key"], name="event_once")]
        indexes = [models.Index(fields=["workspace", "-created_at", "-id"], name="event_by_workspace")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.workspace_id}"


class AuditEntry(models.Model):
    """One change: who made it, when, from where, and what was before and after it. Written by `accounts.audit` alone.

    Append-only: a trigger refuses every update and delete. So nothing here refers to a row whose end would change it,
    and the trail outlives the workspace and the people that it names.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # null: of an account, in no workspace.
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+"
    )
    # A user's id and address as they were; null and "": the installation itself, by its variables or by the clock.
    actor_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=254, blank=True)
    # console, api, admin; "": no request.
    via = models.CharField(max_length=10, blank=True)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=120, blank=True)
    request_id = models.CharField(max_length=36, blank=True)
    # `<kind of object>.<what was done>`
    action = models.CharField(max_length=60)
    object_id = models.CharField(max_length=420, blank=True)
    object_name = models.CharField(max_length=420, blank=True)
    # Of a change only what differs; null: there was nothing before, or is nothing after.
    old = models.JSONField(null=True)
    new = models.JSONField(null=True)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["workspace", "-created_at", "-id"], name="audit_by_workspace"),
            models.Index(fields=["workspace", "object_id", "-created_at"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_name}"
