"""python manage.py reconcile --bill FILE: a provider's usage export beside the ledger."""

from argparse import ArgumentParser
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Workspace
from analytics import bills, reconcile
from analytics.amounts import as_text
from analytics.management.commands.rebuild_rollups import day
from analytics.reconcile import Difference

# Lines that are shown; what is beyond is counted.
SHOWN = 1000
WORDS = {"prompt_tokens": "prompt", "cached_tokens": "cached", "completion_tokens": "completion", "cost_usd": "USD"}


class Command(BaseCommand):
    help = (
        "Compares a provider's usage or cost export (CSV of OpenAI or Anthropic, or a table of day, model, tokens and "
        "cost) with the ledger, and lists where they differ by day and model. Exit status: 0 when they agree, 1 when "
        "they differ by more than the tolerance, 2 when the bill cannot be read or there is nothing to compare."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bill", type=Path, required=True, metavar="FILE", help="the export, as CSV")
        parser.add_argument("--workspace", metavar="ID", help="compare with one workspace; default: all of them")
        parser.add_argument("--provider", default="", metavar="NAME", help="compare with the provider of this name")
        parser.add_argument(
            "--kind", default="", metavar="KIND", help="… with providers of this kind; default: the bill's"
        )
        parser.add_argument(
            "--from", dest="first", type=day, metavar="DAY", help="the first day (UTC); default: the bill's"
        )
        parser.add_argument("--to", dest="last", type=day, metavar="DAY", help="the last day (UTC), included")
        parser.add_argument(
            "--tolerance", default="0.1", metavar="PERCENT", help="how much two figures may differ (0.1), in per cent"
        )

    def handle(self, *args: Any, bill: Path, provider: str, kind: str, tolerance: str, **options: Any) -> None:
        try:
            billed = bills.read_bill(bill)
        except bills.BadBill as error:
            raise CommandError(str(error), returncode=2) from None
        share = _share(tolerance)
        workspace = _workspace(options["workspace"])
        start, end = bills.days(billed)
        first, last = options["first"] or start, options["last"] or end
        if last < first:
            raise CommandError(f"--to {last} is before --from {first}.", returncode=2)
        billed.figures = {key: line for key, line in billed.figures.items() if first <= key[0] <= last}
        entered = reconcile.entered(
            billed, first, last, workspace=workspace, provider=provider, kind=kind or billed.kind
        )
        found = list(reconcile.differences(billed, entered, share))
        self._show(found)
        compared = len(billed.figures.keys() | entered.keys())
        if not compared:
            raise CommandError(f"{first} to {last}: neither the bill nor the ledger has anything of it.", returncode=2)
        period = f"{first} to {last}: {compared} {'day and model' if compared == 1 else 'days and models'}"
        if not found:
            self.stdout.write(f"{period}, all within {tolerance}%.")
            return
        wrong = len({(line.day, line.model) for line in found})
        raise CommandError(
            f"{period}, {wrong} of them differ{'s' if wrong == 1 else ''} by more than {tolerance}%.", returncode=1
        )

    def _show(self, found: Iterable[Difference]) -> None:
        lines: list[tuple[str, ...]] = [("day", "model", "what", "bill", "ledger", "ledger - bill")]
        for count, line in enumerate(found):
            if count < SHOWN:
                amounts = (line.billed, line.entered, line.amount)
                lines.append((str(line.day), line.model or "all", WORDS[line.measure], *map(_number, amounts)))
        if len(lines) == 1:
            return
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for cells in lines:
            left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
            self.stdout.write("  ".join(left + right))
        if count >= SHOWN:
            self.stdout.write(f"… and {count + 1 - SHOWN} more")


def _share(percent: str) -> Decimal:
    try:
        share = Decimal(percent.removesuffix("%")) / 100
    except InvalidOperation:
        share = Decimal(-1)
    if not 0 <= share <= 1:
        raise CommandError(f"--tolerance: must be per cent, from 0 to 100, not {percent!r}.", returncode=2)
    return share


def _workspace(id: str | None) -> Workspace | None:
    if id is None:
        return None
    try:
        return Workspace.objects.get(pk=UUID(id))
    except (ValueError, Workspace.DoesNotExist):
        raise CommandError(f"--workspace: there is no workspace {id!r}.", returncode=2) from None


def _number(amount: Decimal) -> str:
    return as_text(amount)
