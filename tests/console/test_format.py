"""How numbers read on a page."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.template import Context, Template
from django.test import RequestFactory

from gateway_project.lib import format as text


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        ("0", "$0"),
        ("0.000000000001", "$0.000000000001"),
        ("0.000123", "$0.000123"),
        ("0.0001236", "$0.000124"),
        ("0.0123456", "$0.0123"),
        ("0.5", "$0.50"),
        ("0.9999", "$1.00"),
        ("1", "$1.00"),
        ("1204.505", "$1,204.51"),
        ("1E+3", "$1,000.00"),
        ("-0.02", "-$0.02"),
    ],
)
def test_money_has_useful_digits(usd: str, shown: str) -> None:
    assert text.money(Decimal(usd)) == shown


@pytest.mark.parametrize("places", range(1, 13))
def test_money_never_hides_what_was_spent(places: int) -> None:
    assert set(text.money(Decimal(4).scaleb(-places))) & set("123456789")


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(0, "<1 ms"), (0.4, "<1 ms"), (1, "1 ms"), (812, "812 ms"), (999.6, "1.00 s"), (4210, "4.21 s"),
     (59_994, "59.99 s"), (59_999, "1 min 0 s"), (125_000, "2 min 5 s")],
)  # fmt: skip
def test_durations(ms: float, shown: str) -> None:
    assert text.duration(ms) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 0, "0%"), (0, 7, "0%"), (1, 5000, "<0.1%"), (1, 31, "3.2%"), (37, 100, "37%"), (7, 7, "100%")],
)
def test_shares(part: int, whole: int, shown: str) -> None:
    assert text.share(part, whole) == shown


def render(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


def test_filters_show_a_dash_for_nothing() -> None:
    assert render("{{ a|money }} {{ a|count }} {{ a|duration }}", a=None) == "\N{EN DASH} \N{EN DASH} \N{EN DASH}"
    assert render("{{ n|count }}", n=1234567) == "1,234,567"


def test_a_moment_keeps_utc_in_its_title() -> None:
    when = datetime(2026, 11, 21, 9, 5, 7, tzinfo=UTC)

    html = render("{% moment when %}", when=when)

    assert 'datetime="2026-11-21T09:05:07.000Z"' in html
    assert 'title="2026-11-21 09:05:07 UTC"' in html
    assert ">21 Nov 2026 09:05:07 UTC<" in html
    assert render("{% moment when %}", when=None) == "never"


def test_an_icon_is_silent_unless_it_is_named() -> None:
    assert 'aria-hidden="true"' in render("{% icon 'key' %}")
    assert 'aria-label="Key &lt;1&gt;"' in render("{% icon 'key' label=name %}", name="Key <1>")


def test_a_query_string_keeps_its_other_filters() -> None:
    request = RequestFactory().get("/", {"status": "failed", "cursor": "abc"})

    assert render("{% query_with cursor='n&xt' %}", request=request) == "?status=failed&amp;cursor=n%26xt"
    assert render("{% query_with cursor=None %}", request=request) == "?status=failed"
