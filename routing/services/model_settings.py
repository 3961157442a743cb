"""What a workspace sets for a model at one of its providers. Callers have checked the role."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from django.db import transaction
from pydantic import Field, StrictBool, StrictInt

from accounts import audit
from accounts.access import Caller, scoped
from gateway_project.lib.errors import InvalidRequest, NotFound
from gateway_project.lib.schemas import Strict, Usd, parse
from keys.models import Provider
from keys.schemas import Text
from routing.models import ModelSettings
from routing.policy_document import Fraction

logger = logging.getLogger(__name__)

# USD per million tokens. A dollar a token, which no ledger entry can pass, is a million.
PerMtok = Annotated[Usd, Field(lt=1_000_000, examples=["2.50"])]


class ModelChange(Strict):
    """What can be set for a model; null takes it back, so that what the catalog says holds again."""

    id: Annotated[Text, Field(max_length=400)] | None = Field(None, description="As in the path, if at all.")
    input_usd_per_mtok: PerMtok | None = None
    cached_input_usd_per_mtok: PerMtok | None = None
    output_usd_per_mtok: PerMtok | None = None
    quality: Fraction | None = None
    context_window: Annotated[StrictInt, Field(ge=1, le=100_000_000)] | None = None
    enabled: StrictBool | None = None


@transaction.atomic
def set_model(caller: Caller, model_id: str, data: ModelChange | Mapping[str, Any]) -> tuple[Provider, ModelSettings]:
    """Set what `data` has for the model `<provider>/<model>`; its provider, and all that is set now.

    Raises `NotFound` when the workspace has no such provider or that lists no such model, and `InvalidRequest`
    naming the field.
    """
    fields = parse(ModelChange, data)
    if fields.id is not None and fields.id != model_id:
        raise InvalidRequest("id: is given by the path; a model cannot be renamed.", param="id")
    provider, model = find(caller, model_id)
    changes = {name: getattr(fields, name) for name in fields.model_fields_set - {"id"}}
    if not changes:
        row = provider.model_settings.filter(model=model).first()
        return provider, row or ModelSettings(provider=provider, model=model)
    settings = provider.model_settings.select_for_update().filter(model=model)
    before = _facts(settings.first() or ModelSettings())
    row, _ = ModelSettings.objects.update_or_create(
        provider=provider, model=model, defaults=changes, create_defaults={**changes, "workspace": caller.workspace}
    )
    audit.record(caller, "model.changed", f"{provider.name}/{model}", old=before, new=_facts(row))
    logger.info("model %s of provider %s: %s set by user %s", model, provider.pk, sorted(changes), caller.user.pk)
    return provider, row


def _facts(row: ModelSettings) -> audit.Facts:
    """What the audit trail keeps of a model: what can be set."""
    return {name: getattr(row, name) for name in ModelChange.model_fields if name != "id"}


def find(caller: Caller, model_id: str) -> tuple[Provider, str]:
    """The provider and the model that `<provider>/<model>` names. Raises `NotFound`."""
    name, _, model = model_id.partition("/")
    # Postgres keeps no NUL in text, so nothing is named with one.
    named = bool(model) and "\0" not in model_id
    provider = scoped(Provider.objects.filter(name=name), caller).first() if named else None
    if provider is None or not _known(provider, model):
        raise NotFound(f"There is no model '{model_id}' here; GET /api/routing/models lists those that are.")
    return provider, model


def _known(provider: Provider, model: str) -> bool:
    """Whether the model is listed, or was when something was set for it."""
    listed = provider.model_ids or provider.discovered_models
    return model in listed or provider.model_settings.filter(model=model).exists()
