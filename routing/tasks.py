"""Background work of the routing: keeping the providers' lists of models current."""

import asyncio
import logging
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
from routing.discovery import probe, run

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
    for provider in Provider.objects.filter(enabled=True, locality=Locality.LOCAL):
        recheck_locality(provider)
    asked = _due()
    # Its own event loop; the database is asked before and after, never in it.
    for provider, result in run(_ask_all(asked)):
        record_probe(provider, result)


def _due() -> list[Provider]:
    clouds = [kind.id for kind in KINDS.values() if not kind.self_hosted]
    asked_lately = Q(kind__in=clouds, discovered_at__gt=timezone.now() - CLOUD_INTERVAL)
    enabled = Provider.objects.filter(enabled=True, model_ids=[])
    # In another order each time, so that a round that runs out of time does not pass over the same ones.
    return list(enabled.exclude(asked_lately).order_by("?"))


async def _ask_all(providers: list[Provider]) -> list[tuple[Provider, ProbeResult]]:
    turn = asyncio.Semaphore(AT_ONCE)
    answers: list[tuple[Provider, ProbeResult]] = []

    async def ask(provider: Provider) -> None:
        async with turn:
            try:
                facts = queries.facts(provider)
            except (KeyError, ValueError, VaultError) as error:
                logger.error("provider %s cannot be asked: %s", provider.id, error)
                return
            answers.append((provider, await probe(facts.kind, facts.base_url, facts.secret, PATIENCE)))

    tasks = [asyncio.create_task(ask(provider)) for provider in providers]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=ROUND)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return answers


@worker_ready.connect(dispatch_uid="routing.discover_models")  # type: ignore[untyped-decorator]
def discover_at_start(**kwargs: object) -> None:
    """The beat's first round is a minute away; a provider that a variable named need not wait for it."""
    discover_models.delay()
