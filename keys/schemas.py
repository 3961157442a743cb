"""The shapes of the keys API: what it takes, checked, and what it shows. No secret is ever in what it shows."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.utils import timezone
from ninja import Schema
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)

from accounts.limits import DAY, LimitFields, LimitsOut, show_limits
from gateway_project.lib.schemas import Strict, money
from keys.kinds import KINDS
from keys.models import GatewayKey, KeySecret, Locality, PrivacyMode, Provider, Scope
from keys.vault import Secret

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What stands before a `/`, or alone, as something else: a policy's choice, a policy's name, the gateway's own models.
RESERVED_NAMES = ("auto", "policy", "gateway")


# --- The parts -----------------------------------------------------------------------------------


def _plain(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("must hold no control characters.")
    return text.strip()


def _provider_name(name: str) -> str:
    if "/" in name:
        raise ValueError("must hold no '/', which divides provider and model.")
    if name.lower() in RESERVED_NAMES:
        raise ValueError(f"must not be '{name}', which means something else as a model.")
    return name


def _secret(given: Any) -> Secret:
    """Wrapped at once, so that no repr of the fields shows it."""
    key = given.strip() if isinstance(given, str) else ""
    if not 0 < len(key) <= 4000:
        raise ValueError("must be a string of 1 to 4000 characters.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("must be printable ASCII without spaces, as it travels in a header.")
    return Secret(key)


def _moment(value: Any) -> Any:
    # Pydantic would take 5 for five seconds after 1970.
    if not isinstance(value, str | datetime):
        raise ValueError("must be an RFC 3339 time such as 2027-01-31T00:00:00Z.")
    return value


def _in_future(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must have an offset from UTC, such as Z.")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is too far away.") from None
    if utc <= timezone.now():
        raise ValueError("must be in the future.")
    return utc


def _unique(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}.")
    return kind


Text = Annotated[str, AfterValidator(_plain)]
Name = Annotated[str, Field(max_length=120), AfterValidator(_plain), Field(min_length=1)]
ProviderName = Annotated[
    str, Field(max_length=60), AfterValidator(_plain), Field(min_length=1), AfterValidator(_provider_name)
]
ModelId = Annotated[str, Field(max_length=300), AfterValidator(_plain), Field(min_length=1)]
Future = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_future)]
ApiKey = Annotated[
    Secret,
    PlainValidator(_secret),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 4000, "writeOnly": True}),
]


# --- Gateway keys --------------------------------------------------------------------------------


class KeyChange(LimitFields):
    """The fields of a gateway key that can be set; null takes a limit away."""

    name: Name = ""
    expires_at: Future | None = None
    allowed_models: Annotated[list[ModelId], Field(min_length=1, max_length=200), AfterValidator(_unique)] | None = (
        Field(None, description="Model ids or `<provider>/<model>`; null: every model.")
    )
    policy: Annotated[Text, Field(max_length=120)] | None = None
    privacy_mode: Literal["strict", "flexible"] | None = None
    scopes: (
        Annotated[
            list[Literal["inference", "documents:read", "documents:write"]],
            Field(min_length=1, max_length=3),
            AfterValidator(_unique),
        ]
        | None
    ) = Field(None, description="null: all of them.")


class NewKey(KeyChange):
    name: Name


class Rotation(Strict):
    overlap_seconds: Annotated[StrictInt, Field(ge=0, le=31 * DAY)] = Field(
        0, description="For how long the old secret goes on working."
    )


class KeyOut(LimitsOut):
    id: str
    name: str
    prefix: str = Field(description="How the newest secret begins.")
    last4: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    allowed_models: list[str] | None
    policy: str | None
    privacy_mode: PrivacyMode | None
    scopes: list[Scope]


class KeyWithSecret(KeyOut):
    key: str = Field(description="The secret. It is shown this once.")


def show_key(key: GatewayKey, newest: KeySecret, spent_usd: Decimal) -> dict[str, Any]:
    """`key` as the API shows it; `spent_usd` is what counts against its budget now."""
    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": newest.prefix,
        "last4": newest.last4,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "spent_usd": money(spent_usd),
        "allowed_models": key.allowed_models,
        "policy": key.policy or None,
        "privacy_mode": key.privacy_mode or None,
        "scopes": key.scopes,
        **show_limits(key),
    }


# --- Providers -----------------------------------------------------------------------------------


class ProviderChange(Strict):
    """The fields of a provider that can be changed; null goes back to the kind's default."""

    name: ProviderName = ""
    api_key: ApiKey | None = None
    base_url: Annotated[Text, Field(max_length=500)] | None = Field(None, description="With or without /v1.")
    models: Annotated[list[ModelId], Field(max_length=1000), AfterValidator(_unique)] | None = Field(
        None, description="The models to serve; null or none: whatever the provider lists."
    )
    locality: Literal["local", "cloud"] | None = Field(None, description="null: decided by the address.")
    enabled: StrictBool = True


class NewProvider(ProviderChange):
    kind: Annotated[str, AfterValidator(_known_kind)]
    name: ProviderName


class ProviderOut(Schema):
    id: str
    kind: str
    name: str
    base_url: str | None = Field(description="The kind's default when none was set.")
    locality: Locality
    enabled: bool
    secret_hint: str = Field(description='The last four characters of the secret; "" when there is none.')
    models: list[str] = Field(description="Those that the user named; none: whatever the provider lists.")
    discovered_models: list[str] = Field(description="Those that the provider listed last.")
    discovered_at: datetime | None
    loaded_models: list[str] | None = Field(description="Those that its server holds in memory; null: unknown.")
    last_error: str | None = Field(description="Why the provider could not be asked last time.")
    from_environment: bool
    capabilities: list[str]
    created_at: datetime


class ProbeOut(Schema):
    ok: bool
    latency_ms: int
    models: list[str]
    loaded: list[str] | None = Field(None, description="Those that the server holds in memory, where it says so.")
    error: str | None = None


def show_provider(provider: Provider) -> dict[str, Any]:
    """`provider` as the API shows it."""
    kind = KINDS.get(provider.kind)
    return {
        "id": str(provider.id),
        "kind": provider.kind,
        "name": provider.name,
        "base_url": provider.base_url or (kind.base_url if kind else "") or None,
        "locality": provider.locality,
        "enabled": provider.enabled,
        "secret_hint": provider.secret_hint,
        "models": provider.model_ids,
        "discovered_models": provider.discovered_models,
        "discovered_at": provider.discovered_at,
        "loaded_models": provider.loaded_models,
        "last_error": provider.last_error or None,
        "from_environment": provider.from_environment,
        "capabilities": sorted(kind.capabilities) if kind else [],
        "created_at": provider.created_at,
    }
