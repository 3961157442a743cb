"""python manage.py rebuild_rollups: make the sums by day anew from the ledger's records."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics import rollups
from gateway_project.lib import database


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no day such as 2027-01-31") from None


class Command(BaseCommand):
    help = (
        "Makes the sums by day anew from the ledger's records, while the gateway serves: requests wait for nothing, "
        "and records that arrive meanwhile are counted once. Days whose records retention has dropped keep their sums."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, metavar="DAY", help="the first day (UTC); default: all")
        parser.add_argument("--to", dest="last", type=day, metavar="DAY", help="the last day (UTC), included")

    def handle(self, *args: Any, first: date | None, last: date | None, **options: Any) -> None:
        if first and last and last < first:
            raise CommandError(f"--to {last} is before --from {first}.")
        with database.connect("gateway rollups") as connection:
            days = sum(1 for _ in rollups.rebuild(connection, first, last))
        self.stdout.write(f"The sums of {days} {'day' if days == 1 else 'days'} were made anew.")
