"""The spool: usage records on disk until Postgres has them.

A record is one line of JSON, appended by one `write`, so it survives a `kill -9` of the process the moment `append`
returns; `fsync` follows within `FLUSH_EVERY` seconds, so a power failure loses no more than that.

Each process appends to a segment of its own and holds a lock (flock) on it. A segment that can be locked is finished:
its writer has closed it, or is dead. Whoever locks it moves it to Postgres and removes it, so what a dead process left
is taken up by any other. While it is moved its name ends in `.moving`, so that a segment of a dead process is not taken
for one that is being written to. Moving is idempotent: a record's id is its key.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

FLUSH_EVERY = 0.25
# Seconds between tries while the database is away: doubled from the first to the last.
BACKOFF = (0.5, 8.0)

# What the names of segments end in.
WRITTEN, MOVING = ".jsonl", ".moving"

Move = Callable[[bytes], None]


class Spool:
    """Appends records to `folder`, and hands each finished segment to `move` from a background thread.

    `move` takes a segment's bytes (whole lines, but for a cut last one) and raises to be given them again later.
    """

    def __init__(self, folder: Path, move: Move) -> None:
        self.folder = folder
        self.move = move
        self._lock = threading.Lock()
        self._segment: BinaryIO | None = None
        self._path: Path | None = None
        self._count = 0
        # Names, without their ending, of segments that this process finished and that lie there still.
        self._finished: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # Who asked for what, and what went wrong, is nobody else's on this machine to read.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def append(self, line: bytes) -> None:
        """Write one record, which ends with a newline. Raises `OSError` when the disk refuses it."""
        with self._lock:
            segment = self._segment or self._open()
            written = os.write(segment.fileno(), line)
            while written < len(line):  # a full disk, or a signal, can cut a write
                written += os.write(segment.fileno(), line[written:])

    def _open(self) -> BinaryIO:
        self._count += 1
        name = f"{time.time_ns():020d}-{os.getpid()}-{self._count}"
        draft, path = self.folder / f"{name}.new", self.folder / f"{name}{WRITTEN}"
        segment = open(draft, "ab", buffering=0)  # noqa: SIM115  (closed by _finish_segment)
        fcntl.flock(segment, fcntl.LOCK_EX)
        # Named only once it is locked: another process must not take it for a finished one.
        draft.rename(path)
        self._segment, self._path = segment, path
        return segment

    def start(self) -> None:
        """Begin to move segments in the background."""
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Move what there is and end the thread. What does not go within `patience` seconds stays on disk."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        pause = BACKOFF[0]
        while True:
            stopping = self._stopping.wait(FLUSH_EVERY)
            try:
                self.flush()
                pause = BACKOFF[0]
            except Exception as error:  # the records are safe on disk, and the thread must go on
                logger.warning("usage records wait on disk: %s", type(error).__name__, exc_info=pause == BACKOFF[0])
                self._stopping.wait(pause)
                pause = min(pause * 2, BACKOFF[1])
            if stopping:
                return

    def flush(self) -> None:
        """Finish this process's segment and move every finished one, oldest first. Raises what `move` raises."""
        self._finish_segment()
        segments = self._segments()
        self._finished &= {path.stem for path in segments}
        for path in segments:
            if path != self._path:
                self._move_segment(path)

    def orphans(self) -> bool:
        """Whether there are segments whose writer is dead, or that another process is moving just now."""
        return any(self._is_orphan(path) for path in self._segments())

    def _segments(self) -> list[Path]:
        found = (path for path in self.folder.iterdir() if path.suffix in (WRITTEN, MOVING))
        return sorted(found, key=lambda path: path.stem)

    def _is_orphan(self, path: Path) -> bool:
        if path == self._path or path.stem in self._finished:
            return False
        if path.suffix == MOVING:
            return True
        segment = _lock(path)
        if segment is None:
            return False
        with segment:
            return bool(os.fstat(segment.fileno()).st_nlink)

    def _finish_segment(self) -> None:
        with self._lock:
            segment, path = self._segment, self._path
            if segment is None or path is None:
                return
            self._finished.add(path.stem)
            self._segment, self._path = None, None
        os.fsync(segment.fileno())
        segment.close()

    def _move_segment(self, path: Path) -> None:
        segment = _lock(path)
        if segment is None:
            return  # its writer is alive, or another process moves it
        with segment:
            moving = path.with_suffix(MOVING)
            try:
                path.rename(moving)
            except FileNotFoundError:
                return  # another process moved it, or tried to
            content = segment.read()
            try:
                if content:
                    self.move(content)
            except BaseException:
                moving.rename(path.with_suffix(WRITTEN))
                raise
            moving.unlink()


def _lock(path: Path) -> BinaryIO | None:
    """The segment, open and locked; None while another one holds its lock, or when it is gone."""
    try:
        segment = open(path, "rb")  # noqa: SIM115  (handed to the caller, together with its lock)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        segment.close()
        return None
    return segment
