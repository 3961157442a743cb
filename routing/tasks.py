"""Background work of the routing: keeping the providers' lists of models current."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready
from django.db.models import Q, QuerySet
from django.utils import timezone

from keys import queries
from keys.kinds import KINDS
from keys.models import Locality, Provider
from keys.probe import ProbeResult
from keys.services import recheck_locality, record_probe
from keys.vault import VaultError
from routing.cache.semantic import store as semantic
from routing.discovery import each, probe
from routing.idempotency import store

logger = logging.getLogger(__name__)

# Seconds: for one provider, and for a whole round, which must end before the next begins.
PATIENCE = 5.0
ROUND = 25.0
AT_ONCE = 32
# A cloud's list changes rarely, and asking for it every minute would be rude.
CLOUD_INTERVAL = timedelta(hours=1)
CLOUD = Q(kind__in=[kind.id for kind in KINDS.values() if not kind.self_hosted])


@shared_task  # type: ignore[untyped-decorator]
def discover_models() -> None:
    """Both rounds at once, for when somebody waits."""
    _discover(_fleet() | _due_clouds())
    _recheck_localities()


@shared_task  # type: ignore[untyped-decorator]
def discover_fleet() -> None:
    """Ask the servers that run models themselves which they have, and hold in memory; see whether local ones still are.

    A user's list of models is final, but whether its server has them loaded is learnt for it too.
    """
    _discover(_fleet())
    _recheck_localities()


@shared_task  # type: ignore[untyped-decorator]
def discover_clouds() -> None:
    """Ask the clouds whose models no user named, and that were not asked lately, which they have."""
    _discover(_due_clouds())


def _fleet() -> QuerySet[Provider]:
    return Provider.objects.exclude(CLOUD)


def _due_clouds() -> QuerySet[Provider]:
    asked_lately = Q(discovered_at__gt=timezone.now() - CLOUD_INTERVAL)
    return Provider.objects.filter(CLOUD & ~asked_lately, model_ids=[])


def _recheck_localities() -> None:
    for provider in Provider.objects.filter(enabled=True, locality=Locality.LOCAL):
        recheck_locality(provider)


def _discover(providers: QuerySet[Provider]) -> None:
    # In another order each time, so that a round that runs out of time does not pass over the same ones.
    due = list(providers.filter(enabled=True).order_by("?"))
    # Each is recorded as it answers: one that is slow holds up no other.
    for provider, result in each(_ask_all(due)):
        record_probe(provider, result)


async def _ask_all(providers: list[Provider]) -> AsyncIterator[tuple[Provider, ProbeResult]]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(provider: Provider) -> tuple[Provider, ProbeResult] | None:
        async with turn:
            try:
                facts = queries.facts(provider)
            except (KeyError, ValueError, VaultError) as error:
                logger.error("provider %s cannot be asked: %s", provider.id, error)
                return None
            result = await probe(
                facts.kind, facts.base_url, facts.secret, PATIENCE, known=facts.listed, local=facts.local
            )
            return provider, result

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


@shared_task  # type: ignore[untyped-decorator]
def delete_expired_answers() -> None:
    """Remove what was kept for idempotency keys of more than a day ago."""
    removed = store.purge()
    semantic.sweep()
    if removed:
        logger.info("%s answers were kept for a day, and are removed", removed)


@worker_ready.connect(dispatch_uid="routing.discover_models")  # type: ignore[untyped-decorator]
def discover_at_start(**kwargs: object) -> None:
    """The beat's first round is half a minute away; a provider that a variable named need not wait for it."""
    discover_models.delay()
