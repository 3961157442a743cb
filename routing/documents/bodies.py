"""Reads the body of an upload: to a file that is nobody's but this request's, then into its parts."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from gateway_project.lib import bounded_json
from gateway_project.lib.errors import InvalidRequest, RequestTooLarge
from gateway_project.lib.wire import WireRequest
from routing.parse import MAX_BODY

MULTIPART = "multipart/form-data"
# What a form takes beside its files.
FORM_BYTES = 1024 * 1024
# Bytes that are written at once, in a thread.
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Form:
    """The fields of a form, and its files."""

    fields: dict[str, str]
    files: "list[UploadedFile[bytes]]"


def media_type(request: WireRequest) -> str:
    """The request's content type, without its parameters."""
    given = request.wire_headers.get(b"content-type", b"").decode("latin-1")
    return given.partition(";")[0].strip().lower()


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises `InvalidRequest`, `RequestTooLarge`."""
    try:
        body = bounded_json.loads_request(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", param="body") from None
    except bounded_json.TooManyValues as error:
        raise RequestTooLarge(f"The body cannot be taken: {error}.", param="body") from None
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.", param="body")
    return body


async def read_json(request: WireRequest) -> bytes:
    """The body of a JSON request. Raises `RequestTooLarge`."""
    return await request.read_body(MAX_BODY)


@asynccontextmanager
async def spooled(request: WireRequest, threads: Executor) -> AsyncIterator[BinaryIO]:
    """The body as a file, which goes with the block. Raises `RequestTooLarge`, `ClientLeft`."""
    loop = asyncio.get_running_loop()
    with cast(BinaryIO, tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)) as body:
        waiting = bytearray()
        async for part in request.read_parts(settings.MAX_UPLOAD_BYTES + FORM_BYTES, settings.CLIENT_STALL_SECONDS):
            waiting += part
            if len(waiting) >= BLOCK:
                await loop.run_in_executor(threads, body.write, bytes(waiting))
                waiting.clear()
        await loop.run_in_executor(threads, body.write, bytes(waiting))
        yield body


def parse_form(content_type: str, body: BinaryIO) -> Form:
    """The parts of a form. Blocking. Raises `InvalidRequest`, `RequestTooLarge`."""
    length = body.tell()
    body.seek(0)
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(length)}
    handlers = [MemoryFileUploadHandler(), TemporaryFileUploadHandler()]
    try:
        fields, files = MultiPartParser(meta, cast(Any, body), handlers, "utf-8").parse()
    except MultiPartParserError as error:
        raise InvalidRequest(f"The form cannot be read: {error}.", param="body") from None
    except RequestDataTooBig:
        raise RequestTooLarge("The form's fields are too long.", param="body") from None
    except TooManyFilesSent:
        raise InvalidRequest(
            f"file: at most {settings.DATA_UPLOAD_MAX_NUMBER_FILES} at once; send a ZIP.", param="file"
        ) from None
    except SuspiciousOperation:
        raise InvalidRequest("The form has too many fields, or one that cannot be.", param="body") from None
    return Form(
        {name: str(fields[name]) for name in fields},
        [file for name in files for file in files.getlist(name)],
    )
