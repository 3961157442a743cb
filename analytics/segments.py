"""The files of the spool: who writes one holds a lock (flock) on it, so that one that can be locked is finished.

Its writer has closed it, or is dead. While a segment is moved its name ends in `.moving`, so that what a dead process
left is not taken for something that is being written to.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# What the names of segments end in.
WRITTEN, MOVING = ".jsonl", ".moving"
# Bytes of lines that are moved at once.
CHUNK = 4 * 1024 * 1024


class Segment:
    """A segment that this process writes. Raises `OSError` when the disk refuses it."""

    def __init__(self, folder: Path, number: int) -> None:
        name = f"{time.time_ns():020d}-{os.getpid()}-{number}"
        draft = folder / f"{name}.new"
        self.path = folder / f"{name}{WRITTEN}"
        self._file = open(draft, "ab", buffering=0)  # noqa: SIM115  (closed by `close`)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            # Named only once it is locked: another process must not take it for a finished one.
            draft.rename(self.path)
        except OSError:
            self._file.close()
            raise
        self._handle = self._file.fileno()
        self._length = 0
        # Whether the disk keeps all of it, as far as the spool has seen to that.
        self.synced = True

    def append(self, line: bytes) -> None:
        """Write `line`, all of it or nothing. Raises `OSError`."""
        size = len(line)
        try:
            written = os.write(self._handle, line)
            while written < size:  # a full disk, or a signal, can cut a write
                written += os.write(self._handle, line[written:])
        except OSError:
            # Half a line would spoil the one that follows it.
            os.ftruncate(self._handle, self._length)
            raise
        self._length += size

    def close(self) -> None:
        self._file.close()


def listed(folder: Path) -> list[Path]:
    """The segments in `folder`, oldest first."""
    found = (path for path in folder.iterdir() if path.suffix in (WRITTEN, MOVING))
    return sorted(found, key=lambda path: path.stem)


def size(folder: Path) -> int:
    """Bytes of all segments in `folder`."""
    total = 0
    for path in listed(folder):
        with contextlib.suppress(FileNotFoundError):  # moved meanwhile
            total += path.stat().st_size
    return total


def lock(path: Path) -> BinaryIO | None:
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


def is_abandoned(path: Path) -> bool:
    """Whether a segment of another process has no living writer, or is being moved."""
    if path.suffix == MOVING:
        return True
    segment = lock(path)
    if segment is None:
        return False
    with segment:
        return bool(os.fstat(segment.fileno()).st_nlink)


@contextlib.contextmanager
def taken(path: Path) -> Iterator[BinaryIO | None]:
    """A finished segment to read and move: removed at the end, or left as it was when the block raises.

    None while its writer is alive, or when another process moves it or has done so.
    """
    segment = lock(path)
    if segment is None:
        yield None
        return
    with segment:
        moving = path.with_suffix(MOVING)
        try:
            path.rename(moving)
        except FileNotFoundError:
            yield None
            return
        try:
            yield segment
        except BaseException:
            moving.rename(path.with_suffix(WRITTEN))
            raise
        moving.unlink()


def chunks(segment: BinaryIO) -> Iterator[bytes]:
    """The segment's lines, some `CHUNK` bytes of them at a time."""
    while lines := segment.readlines(CHUNK):
        yield b"".join(lines)


def sync(path: Path) -> bool:
    """Have the disk keep what the segment holds; False when it is gone. Raises `OSError`."""
    try:
        with open(path, "rb") as segment:
            os.fsync(segment.fileno())
    except FileNotFoundError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in `folder`. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
