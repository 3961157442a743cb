"""Requests as a table in CSV (RFC 4180), streamed a page at a time, so that its length costs no memory.

A spreadsheet takes a cell that begins with one of `=+-@` for a formula and runs it. What a client sent, an error that
a provider worded, a model's name: any text may begin so, and gets a `'` before it, which tells a spreadsheet that it is
text.
"""

import csv
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from analytics.models import UsageRecord
from analytics.schemas import RequestRow, show_row
from gateway_project.lib.pagination import MAX_LIMIT, Page, next_cursor, paginate

COLUMNS = list(RequestRow.model_fields)
# The last four are the full-width forms of the first.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_response(
    request: HttpRequest, records: QuerySet[UsageRecord], *, limit: int, cursor: str | None = None
) -> StreamingHttpResponse:
    """The `limit` newest of `records` behind `cursor`. Where there are more, `Link` names the address of the rest.

    Raises InvalidRequest naming `cursor`, before anything is sent.
    """
    first = paginate(records, limit=min(limit, MAX_LIMIT), cursor=cursor)
    response = StreamingHttpResponse(
        _lines(records, first, limit),
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": 'attachment; filename="requests.csv"'},
    )
    if first.next_cursor and (rest := next_cursor(records, limit=limit, cursor=cursor)):
        query = request.GET.dict() | {"cursor": rest}
        response.headers["Link"] = f'<{request.path}?{urlencode(query)}>; rel="next"'
    return response


def cells(record: UsageRecord) -> list[Any]:
    """`record` as a row of the table: what `/requests` shows, times in RFC 3339, true and false in JSON's words."""
    shown = show_row(record) | {"created_at": record.created_at.isoformat()}
    return [_cell(shown.get(name)) for name in COLUMNS]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _text(rows: list[list[Any]]) -> bytes:
    buffer = StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


async def _lines(records: QuerySet[UsageRecord], page: Page[UsageRecord], limit: int) -> AsyncIterator[bytes]:
    yield _text([COLUMNS])
    while True:
        yield _text([cells(record) for record in page.data])
        limit -= len(page.data)
        if not limit or page.next_cursor is None:
            return
        page = await sync_to_async(_page)(records, min(limit, MAX_LIMIT), page.next_cursor)


def _page(records: QuerySet[UsageRecord], limit: int, cursor: str) -> Page[UsageRecord]:
    """The connection goes back to the pool at once: a slow reader holds none while it takes what it was sent."""
    try:
        return paginate(records, limit=limit, cursor=cursor)
    finally:
        if not connection.in_atomic_block:
            connection.close()
