"""Tesseract, when the machine has it, reads pages that are pictures."""

import functools
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from rag.extract.errors import ExtractError

log = logging.getLogger("rag.extract")

# A page as PNG, and its number -> its text. Runs in the caller's thread; what it raises, `extract` raises.
OcrFunction = Callable[[bytes, int], str]

# Each language makes tesseract slower.
MOST_LANGUAGES = 4
SECONDS_TO_LIST = 10
MEMORY_BYTES = 2 * 1024**3
LONGEST_TEXT = 400_000
# Lowers its own limits, then becomes tesseract: nothing of ours runs between fork and exec, where threads are a danger.
CONFINED = (
    "import os, resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)\n"
    "resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


@functools.cache
def command() -> str:
    """Where tesseract is, or "". Installing it takes a restart to be noticed."""
    return shutil.which("tesseract") or ""


@functools.cache
def languages() -> str:
    """Tesseract's installed languages as it takes them, English first."""
    try:
        ran = subprocess.run(  # noqa: S603 - the installed binary, fixed arguments
            [command(), "--list-langs"], capture_output=True, text=True, timeout=SECONDS_TO_LIST, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("tesseract does not list its languages: %s", type(error).__name__)
        return "eng"
    found = [line.strip() for line in ran.stdout.splitlines()[1:] if line.strip()]
    usable = [name for name in found if name not in {"osd", "equ", "snum"} and "/" not in name]
    usable.sort(key=lambda name: (name != "eng", name))
    return "+".join(usable[:MOST_LANGUAGES]) or "eng"


class Tesseract:
    """The `OcrFunction` of the installed tesseract, within `seconds` for a page; `tick` is called while it works."""

    def __init__(self, seconds: int, tick: Callable[[], None]) -> None:
        self._seconds = seconds
        self._tick = tick

    def __call__(self, png: bytes, page: int) -> str:
        """A page's text. A page that takes too long or cannot be read raises `ExtractError`."""
        confined = [sys.executable, "-I", "-S", "-c", CONFINED, str(MEMORY_BYTES), str(self._seconds)]
        asked = [command(), "stdin", "stdout", "-l", languages(), "--psm", "3"]
        # Not through a pipe: `communicate` forgets what it has not written when it is called again after its timeout.
        with tempfile.TemporaryFile() as picture:
            picture.write(png)
            picture.seek(0)
            process = subprocess.Popen(  # noqa: S603 - the installed binary; the page is its standard input
                [*confined, *asked],
                stdin=picture,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"OMP_THREAD_LIMIT": "1", "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        try:
            output = self._wait(process)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise ExtractError("broken", "The page cannot be read by OCR.", f"tesseract: {process.returncode}")
        return output[:LONGEST_TEXT].decode(errors="replace")

    def _wait(self, process: subprocess.Popen[bytes]) -> bytes:
        """Its output; asks `tick` every second."""
        until = time.monotonic() + self._seconds
        while True:
            try:
                return process.communicate(timeout=1)[0]
            except subprocess.TimeoutExpired:
                self._tick()
                if time.monotonic() > until:
                    raise ExtractError("timeout", "The page takes too long to read by OCR.") from None
