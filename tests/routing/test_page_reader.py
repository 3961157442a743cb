"""The worker's side of reading pages: whom it asks, how long it waits, and that it can be stopped."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from aiohttp import web
from pytest_django import Settings

from accounts.models import Workspace
from rag.extract import ocr
from rag.models import OCR_AUTO, Document
from routing.pages import asking
from routing.pages.asking import Reader, reader_of
from routing.pages.ticket import PATH, opened
from tests.keys.server import Server
from tests.rag.shelves import make_document, make_library


class Stopped(Exception):
    """The lease is lost."""


@pytest.fixture
def document(workspace: Workspace) -> Document:
    return make_document(make_library(workspace), ["x"])


@pytest.fixture
def web_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(asking, "PAUSES", (0.1, 0.1))
    with Server() as server:
        settings.OWN_URL = server.url
        yield server


def never() -> None:
    """Nothing stops it."""


def _without_tesseract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    ocr.command.cache_clear()


@pytest.fixture(autouse=True)
def _looked_up_again() -> Iterator[None]:
    yield
    ocr.command.cache_clear()


def test_tesseract_goes_first_and_a_model_where_it_is_missing(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert document.library.ocr == OCR_AUTO
    if ocr.command():
        assert reader_of(document, never) is None
    _without_tesseract(monkeypatch)
    assert isinstance(reader_of(document, never), Reader)


def test_a_library_may_want_a_model_although_there_is_tesseract(document: Document) -> None:
    document.library.ocr = "house/qwen3-vl"
    assert isinstance(reader_of(document, never), Reader)


def test_a_ticket_says_for_whom_and_for_which_picture(document: Document, web_process: Server) -> None:
    web_process.json(PATH, {"text": "Read.", "again": False})
    document.library.privacy_mode = "strict"
    assert Reader(document, never)(b"png", 7) == "Read."
    (request,) = web_process.requests
    ticket, _ = opened(request.headers["authorization"].removeprefix("Bearer "))
    assert (ticket.workspace, ticket.document) == (str(document.workspace_id), str(document.pk))
    assert (ticket.page, ticket.model, ticket.strict, ticket.key) == (7, "auto", True, "")


def test_what_may_pass_is_asked_three_times_and_after_three_pages_no_more(
    document: Document, web_process: Server
) -> None:
    web_process.json(PATH, {"text": None, "again": True})
    read = Reader(document, never)
    assert [read(b"png", page) for page in range(1, 6)] == [""] * 5
    assert len(web_process.requests) == 9


def test_what_is_forbidden_is_asked_once(document: Document, web_process: Server) -> None:
    web_process.json(PATH, {"text": None, "again": False})
    read = Reader(document, never)
    assert [read(b"png", page) for page in range(1, 4)] == [""] * 3
    assert len(web_process.requests) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_a_web_process_that_is_not_well_is_no_end(document: Document, web_process: Server, status: int) -> None:
    web_process.json(PATH, {"error": {}}, status)
    assert Reader(document, never)(b"png", 1) == ""
    web_process.json(PATH, {"text": "Now.", "again": False})
    assert Reader(document, never)(b"png", 1) == "Now."


def test_nobody_there_is_no_end(document: Document, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES", (0.1,))
    settings.OWN_URL = "http://127.0.0.1:9"
    assert Reader(document, never)(b"png", 1) == ""


def test_who_lost_the_document_waits_for_no_model(document: Document, web_process: Server) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.json_response({"text": "Late.", "again": False})

    def lost() -> None:
        raise Stopped

    web_process.answers[PATH] = slow
    began = time.monotonic()
    with pytest.raises(Stopped):
        Reader(document, lost)(b"png", 1)
    assert time.monotonic() - began < 10
