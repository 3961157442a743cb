"""What entitles a worker to have a page read: a note of this installation's to itself, for one picture and a minute."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from django.core import signing

from gateway_project.lib.errors import NotFound

PATH = "/documents/pages/text"
# Bytes of a picture: what is made of it for a model is a third longer.
MOST_BYTES = 15 * 1024 * 1024
SALT = "routing.pages"
# Seconds: it is used at once.
LASTS = 60


@dataclass(frozen=True, slots=True)
class Ticket:
    """A page of a document: for whom it is read, and by whom. `user` and `key` are ids, "" where there is none.

    `model` is as a request names one; `strict`: it stays in the house.
    """

    workspace: str
    document: str
    page: int
    model: str
    strict: bool
    user: str
    key: str


def written(ticket: Ticket, png: bytes) -> str:
    """`ticket` for this picture, signed."""
    return signing.dumps({**asdict(ticket), "picture": digest(png)}, salt=SALT)


def opened(signed: str) -> tuple[Ticket, str]:
    """The ticket, and the digest of the picture that it was signed for.

    Raises `NotFound` for what was not signed here, or too long ago: it is nobody else's affair.
    """
    try:
        said: dict[str, Any] = signing.loads(signed, salt=SALT, max_age=LASTS)
    except signing.BadSignature:
        raise NotFound("There is no such page.") from None
    picture = said.pop("picture")
    return Ticket(**said), picture


def digest(png: bytes) -> str:
    """What tells a picture from another."""
    return hashlib.sha256(png).hexdigest()
