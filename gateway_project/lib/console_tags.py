"""The console's template tags and filters, loaded for every template (settings.TEMPLATES)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.http import QueryDict
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gateway_project.lib import format as text

register = template.Library()

NOTHING = "\N{EN DASH}"
# The forms of a moment that are not the whole of it.
LOOKS = {"short": "%d %b %H:%M", "close": "%d %b %H:%M:%S"}


@register.filter
def money(usd: Decimal | None) -> str:
    """`text.money`, and a dash where there is nothing to show."""
    return NOTHING if usd is None else text.money(usd)


@register.filter
def count(number: int | None) -> str:
    return NOTHING if number is None else text.count(number)


@register.filter
def duration(ms: float | None) -> str:
    return NOTHING if ms is None else text.duration(ms)


@register.filter
def share(part: float | None, whole: float | None) -> str:
    return text.share(part or 0, whole or 0)


@register.filter
def size(length: int) -> str:
    return text.size(length)


@register.simple_tag
def moment(when: datetime | None, empty: str = "never", form: str = "full") -> SafeString | str:
    """A `<time>` that static/js/time.js turns into the reader's own time zone; UTC stays in its title.

    `form` is `full` (date and time, to the second), `close` (no year), `short` (no seconds either) or `ago` ("3
    minutes ago").
    """
    if when is None:
        return empty
    utc = when.astimezone(UTC)
    shown = utc.strftime(LOOKS.get(form, "%d %b %Y %H:%M:%S"))
    return format_html(
        '<time datetime="{}" title="{}" data-form="{}">{} UTC</time>',
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        utc.strftime("%Y-%m-%d %H:%M:%S UTC"),
        form,
        shown,
    )


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """An icon of static/img/icons.svg; hidden from assistive technology unless `label` names it."""
    described = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html(
        '<svg class="icon {}" {} focusable="false"><use href="{}#{}"></use></svg>',
        css,
        described,
        static("img/icons.svg"),
        name,
    )


@register.simple_block_tag(end_name="endfilters")
def filters(
    content: str, page: str, label: str, *, of: Any = None, typed: str = "", submit: str = "Filter", alone: bool = False
) -> SafeString:
    """The form of filters around the fields of the block, for the `page` of that name, which has `#results`.

    `of` is the id of the object whose page it is.

    `label` says what is filtered; `typed` are the ids of the text fields that filter while they are typed in, with
    spaces between. `alone`: the form has a card of its own.
    """
    own = {"label": label, "typed": typed.split(), "submit": submit, "alone": alone}
    return render_to_string(
        "includes/filters.html", {"fields": content, "url": reverse(page, args=[of] if of else []), **own}
    )


@register.simple_tag(takes_context=True)
def query_with(context: dict[str, Any], **changes: str | None) -> str:
    """The page's own query string with `changes` made; None or an empty value drops a parameter."""
    query: QueryDict = context["request"].GET.copy()
    for name, value in changes.items():
        if value in (None, ""):
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"?{query.urlencode()}" if query else "?"
