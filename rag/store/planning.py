"""How Postgres plans a search: settings that hold for it alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connection, transaction

# A plan that is run once is not worth compiling, nor a second process; pages are in memory or on a fast disk.
PLAIN = {"jit": "off", "max_parallel_workers_per_gather": "0", "random_page_cost": "1.1"}


@contextmanager
def planned() -> Iterator[None]:
    """A transaction, or a part of one, for reading with `PLAIN`; that and what is `adjust`ed is undone at its end."""
    with transaction.atomic():
        adjust(PLAIN)
        yield
        # Which undoes the settings, and nothing else: it was for reading.
        transaction.set_rollback(True)


def adjust(settings: Mapping[str, str]) -> None:
    """Have these settings hold until the transaction ends, or the part of it."""
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [part for pair in settings.items() for part in pair])
