"""The shapes of the routing API: what it takes beside a policy's document, and what it shows."""

from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from gateway_project.lib.schemas import Strict, money
from routing import catalog
from routing.catalog import ModelSettingsFacts
from routing.health import Health
from routing.models import Policy, PolicyVersion
from routing.policy_document import DEFAULTS, PolicyDocument
from routing.providers.base import Target

# --- Policies ------------------------------------------------------------------------------------


class Rollback(Strict):
    version: Annotated[StrictInt, Field(ge=1, le=2_000_000_000)]


class PolicyOut(PolicyDocument):
    id: str
    name: str
    version: int
    default: bool
    created_at: datetime
    updated_at: datetime


class VersionOut(Schema):
    version: int
    current: bool
    note: str = Field(description="What was done, in a few words.")
    created_at: datetime
    created_by: str | None = Field(description="The e-mail address of who did it; null when they are gone.")
    document: PolicyDocument


def show_policy(policy: Policy, current: PolicyVersion) -> dict[str, Any]:
    """`policy` as the API shows it, with what its `current` version says."""
    return {
        **DEFAULTS,
        **current.document,
        "id": str(policy.pk),
        "name": policy.name,
        "version": policy.version,
        "default": policy.is_default,
        "created_at": policy.created_at,
        "updated_at": current.created_at,
    }


def show_version(policy: Policy, version: PolicyVersion) -> dict[str, Any]:
    """One version of `policy` as the API shows it."""
    return {
        "version": version.version,
        "current": version.version == policy.version,
        "note": version.note,
        "created_at": version.created_at,
        "created_by": version.created_by.email if version.created_by else None,
        "document": version.document,
    }


# --- Models --------------------------------------------------------------------------------------


class SettingsOut(Schema):
    """What the workspace set itself; null: nothing."""

    input_usd_per_mtok: str | None = None
    cached_input_usd_per_mtok: str | None = None
    output_usd_per_mtok: str | None = None
    quality: float | None = None
    context_window: int | None = None
    enabled: bool | None = None


class ModelOut(Schema):
    id: str = Field(description="`<provider name>/<model>`")
    provider: str
    model: str
    kind: str
    local: bool
    enabled: bool
    input_usd_per_mtok: str | None = Field(description="USD per million tokens; null where no price is known.")
    cached_input_usd_per_mtok: str | None
    output_usd_per_mtok: str | None
    price_source: str
    quality: float
    quality_source: str
    assumed: bool = Field(description="Whether the quality is a guess: nobody measured this model.")
    context_window: int | None
    max_output: int | None
    capabilities: list[str] | None = Field(description="null: unknown, so what its provider's kind can do decides.")
    loaded: bool | None = Field(description="Whether a local server holds it in memory; null where it does not say.")
    settings: SettingsOut


def show_model(target: Target, own: ModelSettingsFacts | None) -> dict[str, Any]:
    """`target` as the API shows it, with its workspace's `own` settings."""
    return {
        "id": target.id,
        "provider": target.provider,
        "model": target.model,
        "kind": target.kind.id,
        "local": target.local,
        "enabled": target.facts.enabled,
        **catalog.described(target),
        "settings": {} if own is None else {name: _plain(getattr(own, name)) for name in SettingsOut.model_fields},
    }


def _plain(value: Any) -> Any:
    return money(value) if isinstance(value, Decimal) else value


# --- Health --------------------------------------------------------------------------------------


class HealthOut(Schema):
    id: str = Field(description="`<provider name>/<model>`")
    provider: str
    model: str
    local: bool
    state: Literal["closed", "open", "half_open"] = Field(description="Of the circuit breaker.")
    reason: str | None = Field(description="Why the breaker is not closed.")
    retry_in_s: float | None = Field(description="Until the next probe may be sent; null: none is waited for.")
    error_rate: float = Field(description="The decayed share of requests that failed, 0 to 1.")
    latency_ms: float | None = Field(description="To the first token, decayed mean; null until measured.")
    tokens_per_s: float | None
    in_flight: int = Field(description="Requests that this process sent and that have not come to their end.")
    loaded: bool | None = Field(description="Whether a local server holds the model in memory.")
    last_error: str | None = Field(description="Why the provider could not be asked for its models last time.")


def show_health(target: Target, health: Health, last_error: str) -> dict[str, Any]:
    """How `target` is, by what this process, and with a Redis all of them, found."""
    state = health.state(target.key)
    waits = state.retry_at - health.clock() if state is not None and state.breaker == "open" else None
    ttft = None if state is None else state.ttft_s
    speed = None if state is None else state.tokens_per_s
    return {
        "id": target.id,
        "provider": target.provider,
        "model": target.model,
        "local": target.local,
        "state": "closed" if state is None else state.breaker,
        "reason": None if state is None else state.reason or None,
        # Infinite while the operator has to mend something first.
        "retry_in_s": None if waits is None or not isfinite(waits) else round(max(0.0, waits), 1),
        "error_rate": 0.0 if state is None else round(state.error_rate, 4),
        "latency_ms": None if ttft is None else round(ttft * 1000, 1),
        "tokens_per_s": None if speed is None else round(speed, 1),
        "in_flight": 0 if state is None else state.in_flight,
        "loaded": target.facts.loaded,
        "last_error": last_error or None,
    }


# --- Explain: pydantic's own models, as django-ninja's would leave further fields out ---------------


class CandidateOut(BaseModel):
    """One target, with more fields than these. A score is null where the target was excluded."""

    model_config = ConfigDict(extra="allow")

    model: str
    provider: str
    cost_score: float | None
    quality_score: float | None
    speed_score: float | None
    score: float | None
    excluded_because: str | None = None


class ExplainOut(BaseModel):
    """What would be done and why, with more fields than these."""

    model_config = ConfigDict(extra="allow")

    complexity: str
    complexity_score: float = Field(description="0 to 1, higher is harder.")
    features: dict[str, Any]
    candidates: list[CandidateOut] = Field(description="The first choice first; those that were excluded last.")
    chosen: str | None = Field(description="`<provider name>/<model>`; null: the request would be refused.")
    fallbacks: list[str]
