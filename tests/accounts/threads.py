"""The same thing at the same moment, from several threads with a database connection each."""

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(*works: Callable[[], T]) -> list[T]:
    """What each returned, in no order. Needs a test with `transaction=True`."""
    start = threading.Barrier(len(works))
    results: list[T] = []

    def run(work: Callable[[], T]) -> None:
        start.wait()
        try:
            results.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
