"""`/v1/embeddings/image` and `/audio`: a file in, its vector out, by the gateway's own models.

No provider is asked, so there is nothing to choose, to cache or to pay; all else is as on every call: the key and what
it may use, limits, idempotency, the ledger.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import orjson
from django.conf import settings

from analytics import ledger
from analytics.usage import Usage
from gateway_project.lib.errors import ApiError, InvalidRequest, PermissionDenied, ServiceUnavailable
from gateway_project.lib.wire import WireRequest
from rag.embedding import catalog, client
from rag.embedding.client import Embedded
from rag.embedding.errors import EmbeddingError
from routing import idempotency, limits, loops, snapshot
from routing.documents import bodies
from routing.embeddings import house, writing
from routing.embeddings.refusals import as_api_error
from routing.exchange import Attempt, Exchange
from routing.filters import names
from routing.idempotency import Kept
from routing.identify import identified
from routing.naming import AUTO
from routing.parse import MAX_MODEL
from routing.pipeline import CLIENT_LEFT, Answer
from routing.providers.embedder import EmbedderReply
from routing.settle import settle

Modality = Literal["image", "audio"]

# Of a file; half of what the worker takes at a time, so that two can be on their way.
MAX_FILE = 16 * 1024 * 1024
# Files that are held at a time; each is in memory until its vector is there.
MOST_AT_ONCE = 16
# Seconds, in which a model may have to be read from the disk first.
PATIENCE = 120.0
FIELDS = ("file", "model", "normalize")

_forms = ThreadPoolExecutor(max_workers=2, thread_name_prefix="forms")
_under_way = 0


@dataclass(frozen=True)
class File:
    """What a form asks for."""

    content: bytes
    model: str
    normalize: bool

    def gist(self) -> bytes:
        """The same for the same request, however its form was written: what an idempotency key stands for."""
        return orjson.dumps([hashlib.sha256(self.content).hexdigest(), self.model, self.normalize])


def runner(modality: Modality) -> Callable[[Exchange, WireRequest], Awaitable[Answer | Kept]]:
    """What does the pipeline's work for files of that modality; raises as `pipeline.run` does."""

    async def run(exchange: Exchange, request: WireRequest) -> Answer | Kept:
        try:
            return await _run(exchange, request, modality)
        except ApiError as error:
            exchange.status, exchange.error_code, exchange.error = error.status, error.code, error.message
            raise
        except asyncio.CancelledError:
            exchange.status, exchange.error_code = CLIENT_LEFT, "client_closed_request"
            exchange.error = "The client closed the connection before the answer was complete."
            raise
        except BaseException:
            exchange.status, exchange.error_code = 500, "internal_error"
            raise
        finally:
            settle(exchange)

    return run


async def _run(exchange: Exchange, request: WireRequest, modality: Modality) -> Answer | Kept:
    global _under_way
    ledger.require_room()
    exchange.caller = await identified(request.wire_headers, snapshot.current, scope="inference")
    loops.check(request.wire_headers)
    # Limits of tokens have no say here: a picture has none.
    exchange.permit = await limits.current.admit(exchange)
    if _under_way >= MOST_AT_ONCE:
        raise ServiceUnavailable("Too many files are being embedded at once; try again.", headers={"retry-after": "1"})
    _under_way += 1
    try:
        file = await _read(request, modality)
        exchange.model, exchange.length = file.model or AUTO, len(file.content)
        if idempotency.HEADER in request.wire_headers:
            gist = await asyncio.get_running_loop().run_in_executor(_forms, file.gist)
            kept = await idempotency.first_answer(exchange, gist, request.wire_headers)
            if kept is not None:
                return _replayed(exchange, kept)
        body = await writing.plain_shape(await _embedded(exchange, file, modality))
    finally:
        _under_way -= 1
    exchange.status, exchange.whole = 200, body
    return Answer(body, None, EmbedderReply(body))


def _replayed(exchange: Exchange, kept: Kept) -> Kept:
    exchange.replay_of, exchange.status, exchange.error_code = kept.request_id, kept.status, kept.error_code
    exchange.replayed_from = kept.answered_by
    return kept


async def _read(request: WireRequest, modality: Modality) -> File:
    """The form's file and fields. Raises `InvalidRequest`, `RequestTooLarge`."""
    if bodies.media_type(request) != bodies.MULTIPART:
        raise InvalidRequest("The body must be multipart/form-data with a file.", param="file")
    raw = await request.read_body(MAX_FILE + bodies.FORM_BYTES)
    content_type = request.wire_headers[b"content-type"].decode("latin-1")
    return await asyncio.get_running_loop().run_in_executor(_forms, _parsed, content_type, raw, modality)


def _parsed(content_type: str, raw: bytes, modality: Modality) -> File:
    body = BytesIO(raw)
    body.seek(0, 2)
    form = bodies.parse_form(content_type, body)
    try:
        for name in form.fields:
            if name not in FIELDS:
                raise InvalidRequest(f"{name[:100]}: unknown; the fields are {', '.join(FIELDS)}.", param=name[:100])
        if len(form.files) != 1:
            raise InvalidRequest("file: must be one file.", param="file")
        size = form.files[0].size or 0
        if not 0 < size <= MAX_FILE:
            raise InvalidRequest(f"file: must not be empty, nor longer than {MAX_FILE} bytes.", param="file")
        normalize = form.fields.get("normalize", "true").lower()
        if normalize not in ("true", "false"):
            raise InvalidRequest("normalize: must be true or false.", param="normalize")
        return File(form.files[0].read(), _model(form.fields.get("model", ""), modality), normalize == "true")
    finally:
        for file in form.files:
            file.close()


def _model(given: str, modality: Modality) -> str:
    """The model's own name; "" for the installation's."""
    if len(given) > MAX_MODEL or not given.isprintable():
        raise InvalidRequest(f"model: must be a model's name, of at most {MAX_MODEL} characters.", param="model")
    name = given.removeprefix(f"{house.PROVIDER}/")
    return "" if name in ("", AUTO) else catalog.card(name, modality).name


async def _embedded(exchange: Exchange, file: File, modality: Modality) -> Embedded:
    installations: str = getattr(settings, f"EMBEDDING_{modality.upper()}_MODEL")
    asked = house.known(file.model or catalog.card(installations, modality).name)
    allowed = exchange.caller.allowed_models if exchange.caller is not None else None
    if allowed is not None and not names(allowed, asked):
        raise PermissionDenied(f"This gateway key may not use the model '{asked.model}'.", param="model")
    exchange.target = asked
    attempt = Attempt(asked, exchange.arrived)
    exchange.attempts.append(attempt)
    embed = client.current.embed_image if modality == "image" else client.current.embed_audio
    began = asyncio.get_running_loop().time()
    try:
        made = await embed([file.content], model=file.model, normalize=file.normalize, timeout=PATIENCE)
    except EmbeddingError as error:
        told = as_api_error(error, "file")
        attempt.status, attempt.error = told.status, told.message
        raise told from None
    finally:
        waited = asyncio.get_running_loop().time() - began
        attempt.ms = round(waited * 1000)
        exchange.upstream_seconds += waited
    attempt.status = 200
    exchange.target = attempt.target = house.known(made.model)
    exchange.usage = Usage()
    return made
