"""What the console's charts draw: plain numbers for static/js/charts.js, the same that stand in the tables beside them.

A number in a chart is as exact as a pixel, so money may be a float here, and here alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analytics.sums import Group

Value = Callable[[Group], float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one colour of bars; `tone` names a colour of static/css/tokens.css."""

    label: str
    tone: str
    value: Value


@dataclass(frozen=True, slots=True)
class Chart:
    """A measure and what it is made of; `unit` is usd, count or ms. Bars of several series stand on one another."""

    id: str
    title: str
    unit: str
    series: tuple[Series, ...]
    line: bool = False


CHARTS = (
    Chart("cost", "Spend", "usd", (Series("Spend", "series-1", lambda group: float(group.sums.cost_usd)),)),
    Chart(
        "requests",
        "Requests",
        "count",
        (
            Series("Answered", "series-1", lambda group: group.sums.answered),
            Series("Not answered", "series-bad", lambda group: group.sums.errors),
        ),
    ),
    Chart(
        "tokens",
        "Tokens",
        "count",
        (
            Series("In", "series-1", lambda group: group.sums.prompt_tokens),
            Series("Out", "series-2", lambda group: group.sums.completion_tokens),
        ),
    ),
    Chart(
        "latency",
        "Latency",
        "ms",
        (
            Series("Median", "series-1", lambda group: group.p50_ms),
            Series("95% within", "series-2", lambda group: group.p95_ms),
        ),
        line=True,
    ),
    Chart("errors", "Not answered", "count", (Series("Not answered", "series-bad", lambda group: group.sums.errors),)),
    Chart(
        "saved",
        "Saved by the cache",
        "usd",
        (Series("Saved", "series-good", lambda group: float(group.sums.saved_usd)),),
    ),
)
MEASURES = {chart.id: chart.title for chart in CHARTS}


def drawn(
    charts: Sequence[Chart], labels: Sequence[str], groups: Sequence[Group], *, across: bool
) -> list[dict[str, Any]]:
    """`charts` over `groups`, for `json_script`; `across` for bars that lie, one to a group."""
    return [
        {
            "id": ("by-" if across else "") + chart.id,
            "unit": chart.unit,
            "line": chart.line and not across,
            "across": across,
            "stacked": not chart.line,
            "labels": list(labels),
            "series": [
                {"label": each.label, "tone": each.tone, "data": [each.value(group) for group in groups]}
                for each in chart.series
            ],
        }
        for chart in charts
    ]
