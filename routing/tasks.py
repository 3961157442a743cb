"""Background work of the routing: keeping the providers' lists of models current."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready
from django.db.models import Q
from django.utils import timezone

from keys import queries
from keys.kinds import KINDS
from keys.models import Locality, Provider
from keys.probe import ProbeResult
from keys.services import recheck_locality, record_probe
from keys.vault import VaultError
from routing.discovery import each, probe

logger = logging.getLogger(__name__)

# Seconds: for one provider, and for a whole round, which must end before the next begins.
PATIENCE = 5.0
ROUND = 45.0
AT_ONCE = 16
# A cloud's list changes rarely, and asking for it every minute would be rude.
CLOUD_INTERVAL = timedelta(hours=1)


@shared_task  # type: ignore[untyped-decorator]
def discover_models() -> None:
    """See whether local providers still are, and ask those whose models no user named which models they have."""
    # Each is recorded as it answers: one that is slow holds up no other.
    for provider, result in each(_ask_all(_due())):
        record_probe(provider, result)
    for provider in Provider.objects.filter(enabled=True, locality=Locality.LOCAL):
        recheck_locality(provider)


def _due() -> list[Provider]:
    clouds = [kind.id for kind in KINDS.values() if not kind.self_hosted]
    asked_lately = Q(kind__in=clouds, discovered_at__gt=timezone.now() - CLOUD_INTERVAL)
    enabled = Provider.objects.filter(enabled=True, model_ids=[])
    # In another order each time, so that a round that runs out of time does not pass over the same ones.
    return list(enabled.exclude(asked_lately).order_by("?"))


async def _ask_all(providers: list[Provider]) -> AsyncIterator[tuple[Provider, ProbeResult]]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(provider: Provider) -> tuple[Provider, ProbeResult] | None:
        async with turn:
            try:
                facts = queries.facts(provider)
            except (KeyError, ValueError, VaultError) as error:
                logger.error("provider %s cannot be asked: %s", provider.id, error)
                return None
            return provider, await probe(facts.kind, facts.base_url, facts.secret, PATIENCE)

    tasks = [asyncio.create_task(ask(provider)) for provider in providers]
    try:
        for answer in asyncio.as_completed(tasks, timeout=ROUND):
            if (answered := await answer) is not None:
                yield answered
    except TimeoutError:
        logger.warning("some providers were not asked for their models: the round took over %s s", ROUND)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@worker_ready.connect(dispatch_uid="routing.discover_models")  # type: ignore[untyped-decorator]
def discover_at_start(**kwargs: object) -> None:
    """The beat's first round is a minute away; a provider that a variable named need not wait for it."""
    discover_models.delay()
