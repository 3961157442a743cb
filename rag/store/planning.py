"""How Postgres plans a search: settings that hold for it alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connection, transaction

# A plan that is run once is not worth compiling, nor a second process; pages are in memory or on a fast disk.
PLAIN = {"jit": "off", "max_parallel_workers_per_gather": "0", "random_page_cost": "1.1"}


@contextmanager
def planned(settings: Mapping[str, str]) -> Iterator[None]:
    """A transaction, or a part of one, for reading with these settings (and `PLAIN`); they are undone at its end."""
    each = {**PLAIN, **settings}
    with transaction.atomic():
        calls = ", ".join(["set_config(%s, %s, true)"] * len(each))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {calls}", [part for pair in each.items() for part in pair])
        yield
        # Which undoes the settings, and nothing else: it was for reading.
        transaction.set_rollback(True)
