"""What the spool does when the disk or the database takes nothing: it says so before, and loses nothing after."""

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from analytics import ledger, segments, spool
from analytics.segments import Segment
from analytics.spool import DISK, FULL, Spool
from gateway_project.lib.errors import LedgerUnavailable

LINE = b"x" * 99 + b"\n"


class Database:
    """What takes lines, while it is there."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.away = False

    def move(self, lines: bytes) -> None:
        if self.away:
            raise psycopg.OperationalError("the server is not there")
        self.lines += lines.splitlines(keepends=True)


@pytest.fixture
def database() -> Database:
    return Database()


@contextmanager
def small_files() -> Iterator[None]:
    """A disk that takes 1,050 bytes of a file and then refuses, as one that is full does: in the middle of a write.

    It holds for the whole process, so no longer than the test itself: pytest's output may be a file, too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1050, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_while_few_records_wait_nothing_is_refused(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move, limit=1000)
    for _ in range(10):
        waiting.append(LINE)
    assert waiting.refusal == ""


def test_the_bound_refuses_until_the_database_has_taken_them(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move, limit=1000)
    database.away = True
    for _ in range(11):
        waiting.append(LINE)
    assert waiting.refusal == FULL
    waiting.append(LINE)  # of a request that was under way

    with pytest.raises(psycopg.OperationalError):
        waiting.flush()
    waiting.look_after()
    assert waiting.refusal == FULL

    database.away = False
    waiting.flush()
    waiting.look_after()
    assert waiting.refusal == ""
    assert database.lines == [LINE] * 12


def test_the_bound_is_the_folders(tmp_path: Path, database: Database) -> None:
    """Whoever wrote them, and before a restart too."""
    first = Spool(tmp_path, database.move, limit=1000)
    for _ in range(11):
        first.append(LINE)
    assert Spool(tmp_path, database.move, limit=1000).refusal == FULL


def test_a_disk_with_little_room_refuses_before_it_is_full(tmp_path: Path, database: Database) -> None:
    assert Spool(tmp_path, database.move, reserve=2**62).refusal == DISK
    assert Spool(tmp_path, database.move, reserve=0).refusal == ""


@small_files()
def test_a_full_disk_cuts_no_line_and_what_it_refuses_is_kept(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move, reserve=0)
    lines = [b"%03d" % number + LINE for number in range(15)]
    for line in lines[:10]:
        waiting.append(line)
    assert waiting.refusal == ""
    for line in lines[10:]:
        waiting.append(line)
    assert waiting.refusal == DISK
    [path] = segments.listed(tmp_path)
    assert path.read_bytes() == b"".join(lines[:10])

    waiting.look_after()
    assert waiting.refusal == DISK
    waiting.flush()
    waiting.look_after()
    assert waiting.refusal == ""
    assert sorted(database.lines) == lines


@small_files()
def test_what_was_kept_is_written_once_the_disk_takes_it(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move, reserve=0)
    database.away = True
    lines = [b"%03d" % number + LINE for number in range(15)]
    for line in lines:
        waiting.append(line)
    with pytest.raises(psycopg.OperationalError):
        waiting.flush()
    assert waiting.refusal == DISK
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit[1], limit[1]))
    waiting.look_after()
    assert waiting.refusal == ""
    written = b"".join(path.read_bytes() for path in segments.listed(tmp_path))
    assert sorted(written.splitlines(keepends=True)) == lines


@small_files()
def test_memory_is_bounded_and_what_it_cannot_take_is_told(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spool, "MEMORY", 250)
    waiting = Spool(tmp_path, database.move, reserve=0)
    for number in range(13):
        waiting.append(b'{"id":"%02d' % number + LINE)
    assert [record.message[:33] for record in caplog.records if record.levelname == "CRITICAL"] == [
        'a usage record is lost: {"id":"11',
        'a usage record is lost: {"id":"12',
    ]
    waiting.flush()
    assert len(database.lines) == 11


def test_a_request_is_refused_in_words(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_spool", Spool(tmp_path, database.move))
    ledger.require_room()
    monkeypatch.setattr(ledger, "_spool", Spool(tmp_path, database.move, reserve=2**62))
    with pytest.raises(LedgerUnavailable) as refused:
        ledger.require_room()
    assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")
    assert refused.value.message == "The disk takes no usage records. Try again later."
    assert refused.value.headers == {"retry-after": "5"}


def test_a_segment_that_the_disk_takes_badly_holds_up_no_other(tmp_path: Path, database: Database) -> None:
    def move(lines: bytes) -> None:
        if lines == b"1\n":
            raise OSError(errno.ENOSPC, "no room to set it aside")
        database.move(lines)

    (tmp_path / "00000000000000000001-1-1.jsonl").write_bytes(b"1\n")
    (tmp_path / "00000000000000000002-1-1.jsonl").write_bytes(b"2\n")
    with pytest.raises(OSError, match="no room"):
        Spool(tmp_path, move).flush()
    assert database.lines == [b"2\n"]
    assert os.listdir(tmp_path) == ["00000000000000000001-1-1.jsonl"]


def test_a_large_segment_is_moved_in_parts_of_whole_lines(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[bytes] = []
    monkeypatch.setattr(segments, "CHUNK", 1000)
    waiting = Spool(tmp_path, parts.append)
    lines = [b"%d\n" % number for number in range(1000)]
    for line in lines:
        waiting.append(line)
    waiting.flush()
    assert b"".join(parts) == b"".join(lines)
    assert len(parts) >= 4
    assert all(part.endswith(b"\n") for part in parts)


def test_appends_from_many_threads_are_whole_lines(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move)

    def write(thread: int) -> None:
        for number in range(200):
            waiting.append(b"%d-%d\n" % (thread, number))
            if number % 50 == 0:
                waiting.look_after()

    threads = [threading.Thread(target=write, args=[thread]) for thread in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        waiting.flush()
    waiting.flush()
    assert sorted(database.lines) == sorted(b"%d-%d\n" % (t, n) for t in range(4) for n in range(200))


def test_its_threads_sync_what_waits_while_the_database_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    hanging = threading.Event()
    original = segments.sync

    def sync(path: Path) -> bool:
        synced.append(path.suffix)
        return original(path)

    monkeypatch.setattr(segments, "sync", sync)

    def move(lines: bytes) -> None:
        hanging.set()
        time.sleep(1.2)

    waiting = Spool(tmp_path, move)
    waiting.start()
    waiting.append(LINE)
    assert hanging.wait(5)
    before = len(synced)
    waiting.append(LINE)
    time.sleep(spool.SYNC_AFTER + 2 * spool.LOOK_EVERY)
    assert len(synced) > before
    waiting.stop()


def test_what_is_moved_soon_is_left_to_the_database(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move)
    waiting.append(LINE)
    assert waiting._unsynced
    waiting.flush()
    assert not waiting._unsynced


def test_what_waits_is_synced_once_and_again_after_the_next_record(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(spool, "SYNC_AFTER", 0.0)

    def sync(path: Path) -> bool:
        synced.append(path)
        return True

    monkeypatch.setattr(segments, "sync", sync)
    waiting = Spool(tmp_path, database.move)
    for records in (1, 0, 2):
        for _ in range(records):
            waiting.append(LINE)
        waiting.look_after()
    assert synced == segments.listed(tmp_path) * 2


def test_stopping_moves_what_there_is(tmp_path: Path, database: Database) -> None:
    waiting = Spool(tmp_path, database.move)
    waiting.start()
    waiting.append(LINE)
    waiting.stop()
    assert database.lines == [LINE]
    assert os.listdir(tmp_path) == []


def test_a_writer_that_is_killed_in_the_middle_of_a_line_loses_none_but_that(
    tmp_path: Path, database: Database
) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom analytics.segments import Segment\n"
        "segment = Segment(Path(sys.argv[1]), 1)\nsegment.append(b'1\\n')\nsegment.append(b'2')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path.cwd(), check=False)
    Spool(tmp_path, database.move).flush()
    assert database.lines == [b"1\n", b"2"]


def test_a_segment_whose_writer_lives_cannot_be_taken(tmp_path: Path) -> None:
    segment = Segment(tmp_path, 1)
    with segments.taken(segment.path) as taken:
        assert taken is None
    segment.close()
    with segments.taken(segment.path) as taken:
        assert taken is not None
    assert os.listdir(tmp_path) == []
