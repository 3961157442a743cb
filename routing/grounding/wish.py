"""The `rag` field of a request."""

from dataclasses import dataclass, field
from typing import Any

from gateway_project.lib.errors import InvalidRequest

LONGEST_NAME = 120
MOST_PASSAGES = 50
PASSAGES = 5
FIELDS = ("library", "top_k", "filters")


@dataclass(frozen=True, slots=True)
class RagWish:
    """Which library is to be searched, for how many passages, among which documents."""

    library: str
    top_k: int = PASSAGES
    filters: dict[str, Any] = field(default_factory=dict)


def wish(given: Any) -> RagWish:
    """`given` as the request has it. Raises `InvalidRequest`, naming the field."""
    if type(given) is not dict:
        raise InvalidRequest('rag: must be an object, such as {"library": "default"}.', param="rag")
    for name in given:
        if name not in FIELDS:
            shown = str(name)[:100]
            raise InvalidRequest(f"rag.{shown}: unknown; the fields are {', '.join(FIELDS)}.", param=f"rag.{shown}")
    library, top_k, filters = given.get("library"), given.get("top_k"), given.get("filters")
    if type(library) is not str or not 1 <= len(library.strip()) <= LONGEST_NAME:
        raise InvalidRequest(
            f"rag.library: must be a library's name, of at most {LONGEST_NAME} characters.", param="rag.library"
        )
    if top_k is None:
        top_k = PASSAGES
    if type(top_k) is not int or not 1 <= top_k <= MOST_PASSAGES:
        raise InvalidRequest(f"rag.top_k: must be a whole number from 1 to {MOST_PASSAGES}.", param="rag.top_k")
    if filters is None:
        filters = {}
    if type(filters) is not dict:
        raise InvalidRequest("rag.filters: must be an object.", param="rag.filters")
    return RagWish(library.strip(), top_k, filters)
