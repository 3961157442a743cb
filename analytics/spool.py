"""The spool: usage records on disk until Postgres has them.

A record is one line of JSON, appended by one `write`, so it survives a `kill -9` of the process the moment `append`
returns. As a rule Postgres has it on its own disk soon after; what waits for longer than `SYNC_AFTER` seconds is synced
here, also while Postgres is away, so that a power failure loses no more than the last second. Each process appends to
segments of its own (`segments`); whoever finds a finished one moves it to Postgres and removes it, so what a dead
process left is taken up by any other. Moving is idempotent: a record's id is its key.

What may wait is bounded. Before the bound is reached, or the disk is full, `refusal` says so, and whoever would make a
record must not begin. A record that was under way and that the disk does not take is kept in memory and tried again,
on disk and in Postgres.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from analytics import metrics, segments
from analytics.segments import Segment

logger = logging.getLogger(__name__)

FLUSH_EVERY = 0.5
# Seconds between two looks at the disk, and those after which what still waits is synced: together less than one.
LOOK_EVERY = 0.2
SYNC_AFTER = 0.7
# Seconds between tries while the database is away: doubled from the first to the last.
BACKOFF = (0.5, 8.0)
# Bytes of records that are kept in memory while the disk takes none; requests are refused by then, so that these are
# the records of those that were under way.
MEMORY = 64 * 1024 * 1024
# Bytes that must be free on the disk, for the records of requests that are under way.
RESERVE = 16 * 1024 * 1024

FULL = "Too many usage records wait for the database."
DISK = "The disk takes no usage records."

Move = Callable[[bytes], None]


class Spool:
    """Appends records to `folder`, and hands each finished segment to `move` from a background thread.

    `move` takes whole lines, but for a cut last one, and raises to be given them again later. `refusal` is "" while
    requests may be begun, else why not, in words for the caller. `limit` and `reserve` are bytes.
    """

    def __init__(self, folder: Path, move: Move, *, limit: int = 2**40, reserve: int = RESERVE) -> None:
        self.folder = folder
        self.move = move
        self.limit, self.reserve = limit, reserve
        self.refusal = ""
        self._lock = threading.Lock()
        self._segment: Segment | None = None
        self._count = 0
        # Bytes that wait: as the folder was last measured, and what was appended since.
        self._bytes = 0
        # Names, without their ending, of segments that this process finished and that lie there still.
        self._finished: set[str] = set()
        # When the first record was appended to a segment that the disk may not keep yet (`time.monotonic`).
        self._unsynced: dict[Path, float] = {}
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        # Who asked for what, and what went wrong, is nobody else's on this machine to read.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._measure()

    def append(self, line: bytes) -> None:
        """Write one record, which ends with a newline. One that the disk refuses is kept in memory."""
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                self._remember(line, error)
        self._bytes += len(line)
        if self._bytes > self.limit and not self.refusal:
            self._refuse(FULL)

    def start(self) -> None:
        """Begin to move segments, and to keep watch on the disk, in the background."""
        for work in (self._run, self._watch):
            thread = threading.Thread(target=work, name=f"spool {work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, patience: float = 5.0) -> None:
        """Move what there is and end the threads. What does not go within `patience` seconds stays on disk."""
        self._stopping.set()
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def flush(self) -> None:
        """Finish this process's segment and move every finished one, oldest first. Raises what `move` raises."""
        self._finish()
        found = segments.listed(self.folder)
        self._finished &= {path.stem for path in found}
        failed: OSError | None = None
        for path in found:
            if self._is_own(path):
                continue
            try:
                self._move(path)
            except OSError as error:  # of this one; the others need not wait for it
                failed = error
        self._move_memory()
        if failed is not None:
            raise failed

    def orphans(self) -> bool:
        """Whether there are segments whose writer is dead, or that another process is moving just now."""
        return any(
            segments.is_abandoned(path)
            for path in segments.listed(self.folder)
            if not self._is_own(path) and path.stem not in self._finished
        )

    def waiting(self) -> frozenset[str]:
        """The segments that are not moved yet, whoever writes them."""
        return frozenset(path.stem for path in segments.listed(self.folder))

    # --- Writing ---------------------------------------------------------------------------------

    def _write(self, line: bytes) -> None:
        if self._segment is None:
            self._count += 1
            self._segment = Segment(self.folder, self._count)
        self._segment.append(line)
        if self._segment.synced:
            self._segment.synced = False
            self._unsynced[self._segment.path] = time.monotonic()

    def _remember(self, line: bytes, error: OSError) -> None:
        """Keep a record in memory. Beyond what memory is given it is lost, which is said and counted."""
        if not self._memory:
            logger.error("the disk takes no usage records (%s): they are kept in memory, requests are refused", error)
        self._refuse(DISK)
        if self._memory_bytes + len(line) > MEMORY:
            metrics.LEDGER_LOST.inc()
            logger.critical("a usage record is lost: %s", line[:60].decode(errors="replace"))
            return
        self._memory.append(line)
        self._memory_bytes += len(line)

    def _refuse(self, why: str) -> None:
        if self.refusal != why:
            logger.error("requests are refused until it is over: %s", why)
        self.refusal = why

    # --- Watching --------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            self.look_after()

    def look_after(self) -> None:
        """Have the disk keep what was written, try it with what is in memory, and see whether there is room."""
        try:
            self._sync()
            self._write_memory()
            self._measure()
        except OSError as error:
            logger.error("the spool cannot be looked after: %s", error)

    def _sync(self) -> None:
        before = time.monotonic() - SYNC_AFTER
        due = [path for path, since in list(self._unsynced.items()) if since <= before]
        if not due:
            return
        current = self._segment
        segments.sync_folder(self.folder)
        for path in due:
            # What is appended from here on makes it unsynced anew; a finished one may be found under its other name.
            self._unsynced.pop(path, None)
            if current is not None and path == current.path:
                current.synced = True
            if not segments.sync(path):
                segments.sync(path.with_suffix(segments.MOVING))

    def _write_memory(self) -> None:
        with self._lock:
            while self._memory:
                try:
                    self._write(self._memory[0])
                except OSError:
                    return
                self._memory_bytes -= len(self._memory.popleft())

    def _measure(self) -> None:
        self._bytes = segments.size(self.folder)
        metrics.SPOOL_BYTES.set(self._bytes)
        disk = os.statvfs(self.folder)
        if self._memory or disk.f_bavail * disk.f_frsize < self.reserve:
            self._refuse(DISK)
        elif self._bytes > self.limit:
            self._refuse(FULL)
        elif self.refusal:
            logger.warning("requests are taken again: %d bytes of usage records wait", self._bytes)
            self.refusal = ""

    # --- Moving ----------------------------------------------------------------------------------

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

    def _is_own(self, path: Path) -> bool:
        """Whether this process is writing to it."""
        segment = self._segment
        return segment is not None and path == segment.path

    def _finish(self) -> None:
        with self._lock:
            segment, self._segment = self._segment, None
            if segment is not None:
                self._finished.add(segment.path.stem)
                segment.close()

    def _move(self, path: Path) -> None:
        with segments.taken(path) as segment:
            if segment is not None:
                for lines in segments.chunks(segment):
                    self.move(lines)
                self._unsynced.pop(path, None)

    def _move_memory(self) -> None:
        """What the disk does not take, Postgres may."""
        with self._lock:
            lines, self._memory, self._memory_bytes = list(self._memory), deque(), 0
        try:
            if lines:
                self.move(b"".join(lines))
        except BaseException:
            with self._lock:
                self._memory.extendleft(reversed(lines))
                self._memory_bytes += sum(map(len, lines))
            raise
