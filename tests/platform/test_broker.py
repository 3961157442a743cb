"""The filesystem broker, whose folder several processes share."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kombu.connection import Connection

from gateway_project import broker

Connect = Callable[[], Connection]


@pytest.fixture
def connect(tmp_path: Path) -> Connect:
    broker.use()
    folders = {"data_folder_in": "messages", "data_folder_out": "messages", "control_folder": "control"}
    for folder in folders.values():
        (tmp_path / folder).mkdir(exist_ok=True)
    options = {option: str(tmp_path / folder) for option, folder in folders.items()}
    return lambda: Connection("filesystem://", transport_options=options)  # type: ignore[no-untyped-call]


def test_messages_are_read_whole_and_once_while_others_are_written(connect: Connect) -> None:
    count = 400
    written = threading.Event()
    # kombu's threads take a queue for bound as soon as one of them has begun to bind it.
    with connect() as connection, connection.SimpleQueue("numbers"):
        pass

    def write(start: int) -> None:
        with connect() as connection, connection.SimpleQueue("numbers") as queue:
            for number in range(start, start + count):
                queue.put({"number": number, "padding": "x" * 5000})

    def read() -> list[int]:
        found: list[int] = []
        with connect() as connection, connection.SimpleQueue("numbers") as queue:
            while True:
                last = written.is_set()
                try:
                    message = queue.get_nowait()
                except queue.Empty:
                    if last:
                        return found
                else:
                    message.ack()
                    found.append(message.payload["number"])

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        for writer in [threads.submit(write, start) for start in (0, count)]:
            writer.result()
        written.set()
        found = [number for reader in readers for number in reader.result()]
    assert sorted(found) == list(range(2 * count))


def test_queues_that_are_bound_at_once_are_all_bound(connect: Connect, tmp_path: Path) -> None:
    def bind(number: int) -> None:
        with connect() as connection, connection.SimpleQueue(f"queue-{number}"):
            pass

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(bind, range(40)))
    bound = {
        queue for file in (tmp_path / "control").glob("*.exchange") for _, _, queue in json.loads(file.read_text())
    }
    assert bound == {f"queue-{number}" for number in range(40)}


def test_a_table_that_was_cut_off_is_written_anew(connect: Connect, tmp_path: Path) -> None:
    # A name of its own: kombu remembers in the process what was bound.
    (tmp_path / "control" / "letters.exchange").write_text("")
    with connect() as connection, connection.SimpleQueue("letters") as queue:
        queue.put("one")
        assert queue.get_nowait().payload == "one"
