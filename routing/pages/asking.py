"""The worker's side: who reads a document's pages without text, and asking for one."""

import contextlib
import http.client
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from urllib.parse import urlsplit

import orjson
from django.conf import settings

from rag.extract import ocr
from rag.extract.ocr import OcrFunction
from rag.models import OCR_AUTO, Document, PrivacyMode
from routing.pages import ticket
from routing.pages.ticket import MOST_BYTES, PATH, Ticket

logger = logging.getLogger(__name__)

# Seconds that a page may take, with all that is tried for it; and before the second and the third try.
PATIENCE = 300.0
PAUSES = (1.0, 4.0)
# Pages in a row that nobody read although somebody tried: then the rest is not asked for.
MOST_FAILURES = 3


def reader_of(document: Document, tick: Callable[[], None]) -> OcrFunction | None:
    """Who reads `document`'s pages without text; None: tesseract, where it is installed.

    `tick` is called about once a second while a model reads; it may raise, to stop.
    """
    library = document.library
    if library.ocr == OCR_AUTO and ocr.command():
        return None
    return Reader(document, tick)


class Reader:
    """The `OcrFunction` of the gateway's models, for one document."""

    def __init__(self, document: Document, tick: Callable[[], None]) -> None:
        self._document, self._tick = document, tick
        self._failures = 0

    def __call__(self, png: bytes, page: int) -> str:
        """A page's text; "" where nobody may read it, or nobody can."""
        if self._failures >= MOST_FAILURES or len(png) > MOST_BYTES:
            return ""
        for pause in (0.0, *PAUSES):
            self._wait(pause)
            text, again = self._asked(png, page)
            if text is not None:
                self._failures = 0
                return text[: ocr.LONGEST_TEXT]
            if not again:
                self._failures = MOST_FAILURES  # what holds for this page holds for all
                return ""
        self._failures += 1
        return ""

    def _asked(self, png: bytes, page: int) -> tuple[str | None, bool]:
        """What the web process says: the text, or whether to ask again."""
        own = urlsplit(settings.OWN_URL)
        connection = http.client.HTTPConnection(own.hostname or "", own.port, timeout=PATIENCE)
        thread = ThreadPoolExecutor(1, thread_name_prefix="page")
        try:
            asking = thread.submit(_post, connection, self._ticket(page), png)
            while not wait([asking], timeout=1.0).done:
                self._tick()
            return asking.result()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            logger.warning("a page could not be handed to the gateway: %s", error)
            return None, True
        finally:
            open_socket = connection.sock  # the other thread may close it in this moment
            if open_socket is not None:  # nobody waits for it any more
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
            thread.shutdown(wait=False)

    def _ticket(self, page: int) -> Ticket:
        document = self._document
        return Ticket(
            workspace=str(document.workspace_id),
            document=str(document.pk),
            page=page,
            model=document.library.ocr,  # `auto` is called so by requests, too
            strict=document.library.privacy_mode == PrivacyMode.STRICT,
            user=str(document.created_by_id or ""),
            key=str(document.key_id or ""),
        )

    def _wait(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
            self._tick()


def _post(connection: http.client.HTTPConnection, asked: Ticket, png: bytes) -> tuple[str | None, bool]:
    """Raises `OSError`, `HTTPException`, `ValueError` and `KeyError` where there is no answer of a gateway's."""
    headers = {"Authorization": f"Bearer {ticket.written(asked, png)}", "Content-Type": "image/png"}
    with contextlib.closing(connection):
        connection.request("POST", PATH, body=png, headers=headers)
        response = connection.getresponse()
        body = response.read()
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    said = orjson.loads(body)
    return said["text"], said["again"]
