"""Our side of the parser's process: starts it, answers its questions about pictures, and ends it in any case."""

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from rag.extract import frames, ocr
from rag.extract.errors import CODES, ExtractError
from rag.extract.language import language_of
from rag.extract.model import MIB, Extracted, Limits
from rag.extract.ocr import OcrFunction

log = logging.getLogger("rag.extract")

ROOT = Path(__file__).resolve().parents[2]
LONGEST_IMAGE = 64 * MIB
# A result is its text, as JSON (at most 6 bytes for a character), and its structure.
BYTES_FOR_CHARACTER = 6
STRUCTURE_BYTES = 256 * MIB
TICK_SECONDS = 1.0
BROKEN = "The file is damaged, or made in a way that cannot be read."

Tick = Callable[[], None]


def extract(
    path: Path,
    *,
    name: str,
    media_type: str = "",
    limits: Limits | None = None,
    ocr: OcrFunction | None = None,
    tick: Tick | None = None,
) -> Extracted:
    """The text and structure of the file at `path`, parsed in a process of its own that may do next to nothing.

    `name` and `media_type` are what the sender says; the content decides. Pages without text are read by `ocr`, or by
    tesseract where it is installed. `tick` is called about once a second; what it or `ocr` raises ends the parser and
    is raised here, so that a caller can renew a lease, or stop.

    Raises `ExtractError`, OSError when the file cannot be opened.
    """
    bounds = limits or Limits()
    size = path.stat().st_size
    if not size:
        raise ExtractError("empty", "The file is empty.")
    if size > bounds.file_bytes:
        raise ExtractError("too_large", f"The file is larger than {bounds.file_bytes // MIB:,} MB.")
    with path.open("rb") as file, _Child(file.fileno(), bounds, tick or _nothing) as child:
        found = child.parse(name, media_type, ocr)
    return found.with_language(language_of(found.text))


def _nothing() -> None:
    """Nobody wants to know."""


class _Child:
    """One parser at work on one file."""

    def __init__(self, file: int, limits: Limits, tick: Tick) -> None:
        self._file, self._limits, self._tick = file, limits, tick
        self._until = time.monotonic() + limits.wall_seconds
        self._ocr_left = float(limits.ocr_seconds)
        self._pages = 0

    def __enter__(self) -> "_Child":
        self._process = subprocess.Popen(
            [sys.executable, "-E", "-s", "-m", "rag.extract.child"],
            cwd=ROOT,
            # None of our variables: they hold secrets.
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Whatever a parser complains about may quote the document.
            stderr=subprocess.DEVNULL,
            pass_fds=(self._file,),
            start_new_session=True,
        )
        self._in, self._out = (pipe.fileno() for pipe in (self._process.stdin, self._process.stdout) if pipe)
        os.set_blocking(self._in, False)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]

    def parse(self, name: str, media_type: str, read_image: OcrFunction | None) -> Extracted:
        """Give the job, answer questions until there is a result. Raises `ExtractError`."""
        image_to_text = read_image or (
            ocr.Tesseract(self._limits.ocr_page_seconds, self._tick) if ocr.command() else None
        )
        plain, _, parameters = media_type.partition(";")
        job = {
            "file": self._file,
            "name": name,
            "media_type": plain.strip().lower(),
            "charset": parameters.strip()[8:] if parameters.strip().lower().startswith("charset=") else "",
            "limits": self._limits.to_wire(),
            "ocr": image_to_text is not None,
        }
        self._send(frames.JOB, orjson.dumps(job))
        while True:
            kind, payload = self._receive()
            if kind == frames.RESULT:
                return self._checked(payload)
            if kind == frames.IMAGE and image_to_text and len(payload) > frames.PAGE.size:
                self._send(frames.TEXT, self._text_of(image_to_text, payload).encode(errors="replace"))
            else:
                raise self._refused(payload)

    def _text_of(self, image_to_text: OcrFunction, image: bytes) -> str:
        """A picture's text, "" where OCR fails or has no time left; the parser's own clock stands still."""
        self._pages += 1
        if self._pages > self._limits.ocr_pages or self._ocr_left <= 0:
            return ""
        self._tick()
        began = time.monotonic()
        try:
            (page,) = frames.PAGE.unpack_from(image)
            return image_to_text(image[frames.PAGE.size :], page)
        except ExtractError as error:
            log.warning("OCR of a page failed: %s %s", error.code, error.detail)
            return ""
        finally:
            took = time.monotonic() - began
            self._ocr_left -= took
            self._until += took

    def _checked(self, payload: bytes) -> Extracted:
        try:
            found = Extracted.from_wire(orjson.loads(payload))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ExtractError("broken", BROKEN, "the parser answered what is no result") from None
        if len(found.text) > self._limits.characters:
            raise ExtractError("too_large", "The file holds too much text.")
        return found

    def _refused(self, payload: bytes) -> ExtractError:
        try:
            told = orjson.loads(payload)
            code, message, detail = told["code"], told["message"], told["detail"]
        except (ValueError, TypeError, KeyError):
            return ExtractError("broken", BROKEN, "the parser answered what is no error")
        if code not in CODES or type(message) is not str or type(detail) is not str:
            return ExtractError("broken", BROKEN, "the parser answered what is no error")
        return ExtractError(code, message[:1000], detail[:300])

    def _receive(self) -> tuple[bytes, bytes]:
        kind, length = frames.HEAD.unpack(self._read(frames.HEAD.size))
        most = (
            LONGEST_IMAGE if kind == frames.IMAGE else self._limits.characters * BYTES_FOR_CHARACTER + STRUCTURE_BYTES
        )
        if length > most:
            raise ExtractError("too_large", "The file holds too much text.", f"an answer of {length} bytes")
        return kind, self._read(length)

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(reading=True)
            part = os.read(self._out, min(size - len(parts), MIB))
            if not part:
                raise self._died()
            parts += part
        return bytes(parts)

    def _send(self, kind: bytes, payload: bytes) -> None:
        left = memoryview(frames.HEAD.pack(kind, len(payload)) + payload)
        while left:
            self._wait(reading=False)
            try:
                left = left[os.write(self._in, left) :]
            except BrokenPipeError:
                raise self._died() from None

    def _wait(self, *, reading: bool) -> None:
        """Until the pipe is ready. Raises `ExtractError` when the time is over."""
        fd = self._out if reading else self._in
        while True:
            left = self._until - time.monotonic()
            if left <= 0:
                raise ExtractError("timeout", "Reading the file takes longer than is allowed.", "by the clock")
            ready = select.poll()
            ready.register(fd, select.POLLIN if reading else select.POLLOUT)
            if ready.poll(min(left, TICK_SECONDS) * 1000):
                return
            self._tick()

    def _died(self) -> ExtractError:
        """The parser is gone without a word: a limit, or its own fault."""
        status = self._process.wait()
        if -status in {signal.SIGXCPU, signal.SIGKILL} and status < 0:
            return ExtractError("timeout", "Reading the file takes longer than is allowed.", f"status {status}")
        return ExtractError("broken", BROKEN, f"the parser ended with status {status}")
