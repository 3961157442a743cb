"""Times as query parameters name them."""

import re
from datetime import UTC, datetime

from gateway_project.lib.errors import InvalidRequest

# An offset whose plus sign was not encoded arrives as a space.
_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


def moment(name: str, text: str) -> datetime | None:
    """`text` as a time, in UTC where it does not say otherwise; None for "". Raises InvalidRequest naming `name`."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(_LOST_PLUS.sub("+", text))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name}: must be an RFC 3339 time such as 2027-01-31T00:00:00Z, or a date.", param=name
        ) from None


def span(since: str, until: str) -> tuple[datetime | None, datetime | None]:
    """The parameters `from` (included) and `to` (not included). Raises InvalidRequest naming the one that is wrong."""
    begin, end = moment("from", since), moment("to", until)
    in_order(begin, end)
    return begin, end


def in_order(since: datetime | None, until: datetime | None) -> None:
    """Raises InvalidRequest unless `since` comes before `until`, or is it."""
    if since and until and since > until:
        raise InvalidRequest("from: must not be after to.", param="from")
