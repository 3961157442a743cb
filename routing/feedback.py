"""`POST /v1/feedback`: what a caller says of an answer. The last word on a request counts, once, for good."""

import asyncio
import json
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import OperationalError, connections, transaction

from analytics.models import UsageRecord
from gateway_project.lib.errors import ApiError, InvalidRequest, NotFound, ServiceUnavailable
from gateway_project.lib.wire import WireRequest, WireResponse
from routing import calibration, evidence, snapshot
from routing.http import JSON, describe, error_answer, with_standing
from routing.identify import identified
from routing.models import Feedback
from routing.snapshot import Caller

logger = logging.getLogger(__name__)

MAX_BODY = 4096
LABELS = {"good": 1.0, "bad": -1.0}
FIELDS = ("request_id", "score", "label")
# An answer's record is on its way to Postgres for a moment (analytics/spool.py), so a young request is looked for again
# after such pauses, three seconds in all. Seconds.
YOUNG = 10.0
PAUSES = (0.15, 0.25, 0.4, 0.7, 1.5)
# Statuses of requests of which the client has read what a model wrote: all of it, or until it left.
READ = frozenset({200, 499})

# This runs beside the request path, which has no database connection: two of its own at most, whoever comes.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="feedback")
# How much of it may wait at a time, and how much of one workspace, which must not be in the way of all others.
MOST_WAITING, MOST_OF_ONE = 256, 32
# By workspace.
_waiting: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a caller says: of which request, and how good its answer was, from -1 to 1."""

    request_id: UUID
    score: float

    @property
    def young(self) -> bool:
        """Whether the request was answered so lately that its record may still be on its way."""
        made = (self.request_id.int >> 80) / 1000
        return self.request_id.version == 7 and abs(time.time() - made) < YOUNG


async def serve(request: WireRequest) -> WireResponse:
    """The stored feedback, or the error that says why there is none."""
    caller: Caller | None = None
    try:
        caller = await identified(request.wire_headers, snapshot.current, scope="inference")
        stored = orjson.dumps(await _given(caller, read(await request.read_body(MAX_BODY))))
        response = WireResponse(200, [*describe(None), (b"x-gateway-cost-usd", b"0"), JSON], stored)
    except ApiError as error:
        response = error_answer(error)
    except OperationalError:
        logger.warning("feedback could not be stored: the database is away")
        response = error_answer(
            ServiceUnavailable("The database is away; send it again.", headers={"retry-after": "5"})
        )
    return await with_standing(response, caller)


async def _given(caller: Caller, judgement: Judgement) -> dict[str, Any]:
    """Store it, as soon as its request is in the ledger. Raises `NotFound`, and `ServiceUnavailable` in a crowd."""
    if _waiting[caller.workspace_id] >= MOST_OF_ONE or _waiting.total() >= MOST_WAITING:
        raise ServiceUnavailable("Too much feedback at once; send it again.", headers={"retry-after": "1"})
    _waiting[caller.workspace_id] += 1
    try:
        for pause in (0.0, *PAUSES) if judgement.young else (0.0,):
            await asyncio.sleep(pause)
            stored = await asyncio.get_running_loop().run_in_executor(_threads, _stored, caller, judgement)
            if stored is not None:
                return stored
        raise NotFound(f"There is no request '{judgement.request_id}'.", param="request_id")
    finally:
        _waiting[caller.workspace_id] -= 1
        if not _waiting[caller.workspace_id]:
            del _waiting[caller.workspace_id]


def _stored(caller: Caller, judgement: Judgement) -> dict[str, Any] | None:
    try:
        return store(caller.workspace_id, caller.id, judgement)
    finally:
        connections.close_all()  # into the pool


def store(workspace_id: str, key_id: str, judgement: Judgement) -> dict[str, Any] | None:
    """Keep `judgement`, and move the evidence by what it differs from the one before; None: no such request here.

    Any request of the workspace can be judged, of whatever age while the ledger has it. Who failed is no model's
    answer: that is kept and moves no evidence.
    """
    with transaction.atomic():
        columns = ("provider", "model", "complexity", "status")
        record = UsageRecord.objects.filter(id=judgement.request_id, workspace_id=workspace_id).values(*columns).first()
        if record is None:
            return None
        answered = {name: record[name] for name in ("provider", "model", "complexity")}
        # Locks the row, so that of two at once the second moves the evidence from where the first has put it.
        given, created = Feedback.objects.select_for_update().get_or_create(
            request_id=judgement.request_id,
            defaults={"workspace_id": workspace_id, "key_id": key_id, "score": judgement.score, **answered},
        )
        before = (0.0, 0.0) if created else calibration.judged(given.score)
        if not created:
            given.score, given.key_id = judgement.score, UUID(key_id)
            given.save(update_fields=["score", "key_id", "updated_at"])
        if record["model"] and record["complexity"] and record["status"] in READ:
            good, bad = calibration.judged(judgement.score)
            evidence.move(workspace_id, record["model"], record["complexity"], good - before[0], bad - before[1])
    return {
        "request_id": str(given.request_id),
        "score": given.score,
        **answered,
        "created_at": given.created_at,
        "updated_at": given.updated_at,
    }


def read(raw: bytes) -> Judgement:
    """What a body says. Raises `InvalidRequest`, naming the field."""
    try:
        body = json.loads(raw)  # unlike orjson it takes NaN, so that the answer can name the field
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.", param="body") from None
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.", param="body")
    for name in body:
        if name not in FIELDS:
            shown = name.encode("utf-8", "replace").decode()
            raise InvalidRequest(f"{shown}: unknown; the fields are {', '.join(FIELDS)}.", param=shown)
    return Judgement(_request_id(body.get("request_id")), _score(body.get("score"), body.get("label")))


def _request_id(given: Any) -> UUID:
    try:
        return UUID(given if type(given) is str else "")
    except ValueError:
        raise InvalidRequest("request_id: must be an answer's x-request-id.", param="request_id") from None


def _score(score: Any, label: Any) -> float:
    if score is not None and label is not None:
        raise InvalidRequest("label: send a score or a label, not both.", param="label")
    if label is not None:
        if type(label) is not str or label not in LABELS:
            raise InvalidRequest("label: must be good or bad.", param="label")
        return LABELS[label]
    if type(score) not in (int, float) or not -1 <= score <= 1:
        raise InvalidRequest("score: must be a number from -1 to 1, or send the label good or bad.", param="score")
    return float(score)
