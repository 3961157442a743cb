"""Questions as people write them down, and where in a library their passages stand."""

import time
from typing import Any

import pytest

from accounts.access import Caller
from gateway_project.lib.errors import InvalidRequest
from rag.evaluation import cases, locating
from rag.evaluation.cases import Question, Wanted
from rag.evaluation.locating import find, locate
from rag.evaluation.measures import Place
from rag.models import DocumentText, Library
from tests.rag.shelves import make_document, make_library


def test_a_file_with_passages_and_documents() -> None:
    content = (
        "\ufeffQuestion,passage,document\r\n"
        'Why?,"Because, he said,\nit was late.",a.md\r\n'
        "Why?,And cold.,\r\n"
        "\r\n"
        "Where?,,b.md\r\n"
    )
    assert cases.read(content.encode()) == [
        Question("Why?", (Wanted("Because, he said,\nit was late.", "a.md", 3), Wanted("And cold.", "", 4))),
        Question("Where?", (Wanted("", "b.md", 6),)),
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_spreadsheets_write_instead_of_commas(separator: str) -> None:
    content = f"question{separator}passage\nWho?{separator}She, and he\n"
    assert cases.read(content.encode())[0].wanted[0].passage == "She, and he"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "first line must name the columns"),
        (b"frage,passage\na,b\n", "first line must name the columns"),
        (b"question,other\na,b\n", "first line must name the columns"),
        (b"question,passage\n", "has no questions"),
        (b"question,passage\n,b\n", "line 2 has no question"),
        (b"question,passage\na,b\nc,\n", "line 3 has neither a passage nor a document"),
        (b"question,passage\na," + b"b" * 20_001, "line 2 has a passage of more than"),
        (b"question,passage\n" + b"a" * 10_001 + b",b", "line 2 has a question of more than"),
        (b"question,passage\n\xff,b\n", "not UTF-8"),
        (b"PK\3\4\0\0", "not a CSV"),
        (b"question,passage\n" + b"a,b\n" * 4, "more than 3 rows"),
        (b"question,passage\na," + b"b" * 200_000 + b"\n", "line 2"),
        (b"x" * 2_000_001, "larger than"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(content: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        cases.read(content, most=3)
    assert said in str(refused.value)
    assert refused.value.param == "file"


def test_a_passage_may_have_other_white_space() -> None:
    text = "One two\n  three four. One two three four."
    assert find(text, "One two three four") == [(22, 40)]
    assert find(text, "two three\tfour") == [(4, 20), (26, 40)]
    assert find(text, "two (three") == []
    assert find("aXbXa", "a") == [(0, 1), (4, 5)]
    assert find("  one  two\u2003\nthree  one\ttwo three", "one two  three") == [(2, 17), (19, 32)]
    assert find("concat  satin", "cat sat") == [(3, 11)]


def test_a_text_of_one_word_takes_no_longer_than_another() -> None:
    began = time.process_time()
    assert find("a  " * 300_000, "a " * 5_000 + "b") == []
    assert time.process_time() - began < 2


@pytest.fixture
def library(owner: Caller) -> Library:
    return make_library(owner.workspace, "handbook")


def shelve(library: Library, text: str, **fields: Any) -> str:
    document = make_document(library, [text], **fields)
    DocumentText.objects.create(document=document, text=text)
    return str(document.pk)


@pytest.mark.django_db
def test_passages_are_located_in_the_documents_they_name_or_in_any(library: Library) -> None:
    first = shelve(library, "The sea is deep.", title="Sea", source="sea.md")
    second = shelve(library, "So: The sea is deep.", title="More", source="more.md")
    shelve(make_library(library.workspace, "other", library.space), "The sea is deep.", title="Sea")

    located = locate(
        library,
        [
            Question("How deep?", (Wanted("The sea is deep.", "", 2),)),
            Question("Where is that said?", (Wanted("The sea is deep.", "more.md", 3), Wanted("", "Sea", 4))),
            Question("How high?", (Wanted("The sky is high.", "", 5),)),
            Question("And?", (Wanted("", "nowhere.md", 6), Wanted("sea", "Sea", 7))),
        ],
    )

    assert [(case.text, tuple(set(each) for each in case.references)) for case in located.cases] == [
        ("How deep?", ({Place(first, 0, 16), Place(second, 4, 20)},)),
        ("Where is that said?", ({Place(second, 4, 20)}, {Place(first)})),
        ("And?", ({Place(first, 4, 7)},)),
    ]
    assert [wanted.line for wanted in located.missing] == [5, 6]


@pytest.mark.django_db
def test_too_much_to_look_through_is_refused(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    shelve(library, "The sea is deep.")
    monkeypatch.setattr(locating, "MOST_LOOKED_THROUGH", 20)

    with pytest.raises(InvalidRequest, match="name each one's document"):
        locate(library, [Question("?", (Wanted("sea", "", 2), Wanted("deep", "", 3)))])
