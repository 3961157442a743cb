"""Search by words: any text is a query, stems are found, rare words count most, and what matched is shown."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Workspace
from rag import filters, store
from rag.models import Chunk, Library
from rag.store import Scope, wording, words
from rag.store.words import Term
from tests.rag.shelves import make_document, make_library


@pytest.fixture
def library(workspace: Workspace) -> Library:
    return make_library(workspace)


def found(library: Library, text: str, k: int = 10, condition: filters.Condition | None = None) -> list[str]:
    """Contents of what was found, best first."""
    assert library.space is not None
    hits = store.current.search_text(library.space, text, Scope([library.pk], condition), k)
    contents = dict(Chunk.objects.values_list("pk", "content"))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 < hit.score <= 1 for hit in hits)
    return [contents[hit.chunk_id] for hit in hits]


def test_words_are_found_in_their_documents_language(library: Library) -> None:
    make_document(library, ["The runner was running"], language="en")
    make_document(library, ["Die Häuser der Stadt"], language="de")
    make_document(library, ["running as it is written"], language="xx")

    assert found(library, "runs") == ["The runner was running"]
    assert found(library, "Haus") == ["Die Häuser der Stadt"]
    assert set(found(library, "running")) == {"The runner was running", "running as it is written"}


def test_what_holds_more_and_rarer_words_comes_first(library: Library) -> None:
    make_document(library, ["a fox", *["a cat"] * 8, "a cat and a fox", "nothing of it"], language="")

    assert found(library, "cat fox")[:2] == ["a cat and a fox", "a fox"]
    assert "nothing of it" not in found(library, "cat fox")


def test_phrases_must_occur_and_what_is_left_out_must_not(library: Library) -> None:
    make_document(library, ["big red house", "red big house", "big red boat"])

    assert sorted(found(library, '"big red"')) == ["big red boat", "big red house"]
    assert found(library, '"big red" -boat') == ["big red house"]
    assert found(library, 'house -"big red"') == ["red big house"]
    assert found(library, "-boat") == []


def test_a_header_is_found_though_it_is_no_part_of_the_content(library: Library) -> None:
    make_document(library, ["text of it"], header="Annual report")

    assert found(library, "annual reports") == ["text of it"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("東京都は日本の首都である", "東京"),
        ("東京都は日本の首都である", "日本の首都はどこ"),
        ("北京是中国的首都", "中国首都"),
    ],
)
def test_scripts_without_spaces_are_searched_by_their_signs(library: Library, text: str, query: str) -> None:
    make_document(library, [text, "京東という会社"], language="ja")

    assert found(library, query)[0] == text
    assert found(library, '"京東"') == ["京東という会社"]


@pytest.mark.parametrize(
    "text", ["שלום עולם", "مرحبا بالعالم", "привет мир", "cafe\u0301 ole", "😀 grin", "naïve", "สวัสดี"]
)
def test_other_scripts_are_found_by_their_words(library: Library, text: str) -> None:
    make_document(library, [text], language="")

    assert found(library, text.split()[-1]) == [text]


def test_only_what_the_filter_keeps_is_found(library: Library) -> None:
    make_document(library, ["an apple here"], metadata={"year": 2020})
    make_document(library, ["an apple there"], metadata={"year": 2021}, pages=[7])

    assert found(library, "apple", condition=filters.parse({"year": {"gt": 2020}})) == ["an apple there"]
    assert found(library, "apple", condition=filters.parse({"page": 7})) == ["an apple there"]
    assert found(library, "apple", condition=filters.parse({"year": 1999})) == []


def test_common_words_are_ranked_among_so_many_only(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    make_document(library, ["common"] * 50)
    monkeypatch.setattr(wording, "RANKED", 20)

    assert len(found(library, "common", k=100)) == 20


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(),
        st.text("ab \"-'\\&|!():*<>%\0\ud800日“”", max_size=30),
        st.lists(st.sampled_from(["the", "cat", '"', "-", "AND", "OR", "http://a.b/c?d", "a@b.c", "x:*", "%s"])).map(
            " ".join
        ),
    )
)
def test_any_text_is_a_query(library: Library, text: str) -> None:
    if not Chunk.objects.exists():
        make_document(library, ["the cat sat on the mat"])
    for one in found(library, text):
        assert one == "the cat sat on the mat"
    for start, end in store.current.highlights(text, [("the cat sat on the mat", "en")])[0]:
        assert 0 <= start < end <= 22


def test_long_queries_have_an_end(library: Library) -> None:
    make_document(library, ["word77 and others"])
    text = " ".join(f"word{number}" for number in range(1500))

    assert len(words.terms(text)) == words.MOST
    assert found(library, "word77 " + text) == ["word77 and others"]
    assert found(library, '"' * 10_000) == []


def test_a_querys_parts() -> None:
    assert words.terms('alpha "b c" -d -"e f" it\'s 5" ("g h"') == [
        Term("alpha"),
        Term("b c", phrase=True, required=True),
        Term("d", phrase=True, excluded=True),
        Term("e f", phrase=True, excluded=True),
        Term("it's"),
        Term("5"),
        Term("g h", phrase=True, required=True),
    ]
    assert words.terms("東京都x") == [Term("東京", phrase=True), Term("京都", phrase=True), Term("x")]


@pytest.mark.parametrize(
    ("query", "content", "language", "marked"),
    [
        ("runs", "He was running, I ran.", "en", ["running"]),
        ("runs", "He was running.", "", []),
        ("the cats", "The cat is the cat", "en", ["cat", "cat"]),
        ('"red house" -boat', "red boat house", "en", ["red", "house"]),
        ("3.14", "about 3.14, not 3 or 14", "en", ["3.14"]),
        ("state-of-the-art", "a state of art", "en", ["state", "art"]),
        ("moon", "the <b>moon</b> and moon/sun", "en", ["moon", "moon"]),
        ("sun moon", "moon/sun, moon/stars", "en", ["moon", "sun", "moon"]),
        ("o'clock", "at ten o'clock", "en", ["o'clock"]),
        ("東京都", "x東京都と京都y", "ja", ["東京都", "京都"]),
        ("Ünïcode", "ünïcode 😀 ÜNÏCODE", "en", ["ünïcode", "ÜNÏCODE"]),
        ("", "text", "en", []),
    ],
)
def test_matching_words_are_marked(db: None, query: str, content: str, language: str, marked: list[str]) -> None:
    ranges = store.current.highlights(query, [(content, language), ("", language)])

    assert [content[start:end] for start, end in ranges[0]] == marked
    assert ranges[1] == []


def test_all_and_only_what_holds_a_word_is_found(library: Library) -> None:
    chance = random.Random(5)
    texts = sorted({" ".join(chance.choices("abcdefghij", k=5)) for _ in range(60)})
    make_document(library, texts, language="")
    for _ in range(20):
        query = chance.sample("abcdefghij", 2)
        assert sorted(found(library, " ".join(query), k=100)) == [
            each for each in texts if set(query) & set(each.split())
        ]
