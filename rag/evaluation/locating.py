"""Where in a library's documents the passages stand that a set of questions is answered by."""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from django.db.models import Q

from gateway_project.lib.errors import InvalidRequest
from rag.evaluation.cases import Question, Wanted
from rag.evaluation.measures import Place, Reference
from rag.models import Document, DocumentText, Library

# Characters that are looked through, passages times texts: seconds.
MOST_LOOKED_THROUGH = 5_000_000_000
# Places where one passage may stand, and documents that one title may mean.
MOST_PLACES = 100

# As `str.split` has words.
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and where its references stand."""

    text: str
    references: tuple[Reference, ...]


@dataclass
class Located:
    """The questions that can be measured, and what of the file stands in no document."""

    cases: list[Case] = field(default_factory=list)
    missing: list[Wanted] = field(default_factory=list)


def locate(library: Library, questions: Sequence[Question]) -> Located:
    """Find all that is wanted in the documents that are ready; a question of which nothing is there is left out.

    White space need not be the same. Raises `InvalidRequest` where there is too much to look through.
    """
    wanted = list(dict.fromkeys((each.passage, each.document) for question in questions for each in question.wanted))
    places = _whole_documents(library, {document for passage, document in wanted if not passage})
    places |= _passages(library, [each for each in wanted if each[0]])
    located = Located()
    for question in questions:
        references = []
        for each in question.wanted:
            found = places.get((each.passage, each.document))
            if found:
                references.append(found)
            else:
                located.missing.append(each)
        if references:
            located.cases.append(Case(question.text, tuple(references)))
    return located


def _whole_documents(library: Library, names: set[str]) -> dict[tuple[str, str], Reference]:
    found: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for id, title, source in _named(library, names):
        for name in {title, source} & names:
            found["", name].append(Place(str(id)))
    return {key: tuple(places[:MOST_PLACES]) for key, places in found.items()}


def _passages(library: Library, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Reference]:
    """Passages by what was said of them: `(passage, document)`."""
    if not wanted:
        return {}
    anywhere = any(not document for _, document in wanted)
    names = {document for _, document in wanted if document}
    texts = DocumentText.objects.filter(document__library=library, document__live_version__gt=0)
    if not anywhere:
        texts = texts.filter(Q(document__title__in=names) | Q(document__source__in=names))
    found: dict[tuple[str, str], list[Place]] = defaultdict(list)
    looked_through = 0
    rows = texts.values_list("document_id", "document__title", "document__source", "text").order_by("document_id")
    for id, title, source, text in rows.iterator(chunk_size=20):
        spaced = Spaced(text)
        for passage, document in wanted:
            if document not in ("", title, source):
                continue
            looked_through += len(text)
            if looked_through > MOST_LOOKED_THROUGH:
                raise InvalidRequest(
                    "file: there is too much text to look for the passages in; name each one's document in a column"
                    " `document`.",
                    param="file",
                )
            found[passage, document] += [Place(str(id), *span) for span in find(spaced, passage)]
    return {key: tuple(places[:MOST_PLACES]) for key, places in found.items()}


def _named(library: Library, names: set[str]) -> Iterator[tuple[object, str, str]]:
    if names:
        ready = Document.objects.filter(library=library, live_version__gt=0)
        rows = ready.filter(Q(title__in=names) | Q(source__in=names))
        yield from rows.values_list("pk", "title", "source").iterator()


def find(text: "str | Spaced", passage: str) -> list[tuple[int, int]]:
    """Where `passage` stands in `text`; white space may be other white space, where it does not stand as it is.

    Linear in both, whatever they are: a regular expression would try each of a text's words with all of a passage's.
    """
    whole = text if isinstance(text, Spaced) else Spaced(text)
    found = [(at, at + len(passage)) for at in _all(whole.text, passage)]
    words = passage.split()
    if not found and len(words) > 1 and all(word in whole.text for word in words[:3]):
        wanted = " ".join(words)
        edges = whole.origins(edge for at in _all(whole.spaced, wanted) for edge in (at, at + len(wanted) - 1))
        found = [(first, last + 1) for first, last in zip(edges, edges, strict=True)]
    return found


def _all(text: str, wanted: str) -> Iterator[int]:
    """The first places where `wanted` stands in `text`."""
    at, count = text.find(wanted), 0
    while at >= 0 and count < MOST_PLACES:
        yield at
        at, count = text.find(wanted, at + len(wanted)), count + 1


class Spaced:
    """A text, and the same with one space wherever it has white space."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def spaced(self) -> str:
        return " ".join(self.text.split())

    @cached_property
    def starts(self) -> "array[int]":
        """Where each of the text's words begins."""
        return array("L", (word.start() for word in _WORD.finditer(self.text)))

    def origins(self, places: Iterable[int]) -> Iterator[int]:
        """Where in the text each character stands that stands in a word of `spaced`, at ascending places."""
        word = before = 0
        for at in places:
            word += self.spaced.count(" ", before, at)
            before = at
            yield self.starts[word] + at - (self.spaced.rfind(" ", 0, at) + 1)
