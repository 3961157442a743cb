"""The search page: what is found, where, and what is said when it is not as asked."""

import pytest

from accounts.access import Caller
from rag.models import Library
from rag.views.search import marked
from tests.console.browser import Browser
from tests.rag.shelves import make_document, make_library

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(owner: Caller) -> Library:
    library = make_library(owner.workspace, "Handbook")
    make_document(library, ["The moon is far <b>away</b>."], title="Moon", metadata={"year": 2020})
    return library


def test_before_there_is_anything(browser: Browser) -> None:
    assert "There is nothing to search yet" in browser.get("library-search")


def test_words_are_found_marked_and_scored(browser: Browser, library: Library) -> None:
    page = browser.get("library-search", q="moon", mode="text")

    assert "1 passage by words" in page
    assert "<mark>moon</mark>" in page.html
    assert "<b>away" not in page.html
    assert "Handbook" in page
    assert page.inline == []


def test_a_search_by_words_alone_says_so(browser: Browser, library: Library) -> None:
    page = browser.get("library-search", htmx=True, q="moon")

    assert "Searched by words alone: The embedding worker does not answer." in page
    assert "1 passage by words" in page


def test_what_is_still_on_its_way_is_said_where_nothing_is_found(browser: Browser, owner: Caller) -> None:
    library = make_library(owner.workspace, "New")
    make_document(library, [], status="queued", live_version=0)
    make_document(make_library(owner.workspace, "Other"), [], status="queued", live_version=0)

    assert "1 document is still on its way." in browser.get("library-search", q="moon", mode="text", library="New")
    assert "2 documents are still on their way." in browser.get("library-search", q="moon", mode="text")
    make_document(library, ["The moon."])
    assert "on its way." not in browser.get("library-search", q="moon", mode="text", library="New")


def test_it_keeps_to_the_library_that_is_named(browser: Browser, owner: Caller, library: Library) -> None:
    make_document(make_library(owner.workspace, "Other"), ["The moon again."], title="Again")

    assert "2 passages" in browser.get("library-search", q="moon", mode="text")
    page = browser.get("library-search", q="moon", mode="text", library="Other")
    assert "1 passage" in page
    assert "Again" in page


def test_filters_hold_and_wrong_ones_are_refused_in_words(browser: Browser, library: Library) -> None:
    assert "1 passage" in browser.get("library-search", q="moon", mode="text", filters='{"year": {"gte": 2020}}')
    assert "Nothing found" in browser.get("library-search", q="moon", mode="text", filters='{"year": {"gt": 2020}}')
    a_number, too_deep, half = "1" * 5000, "[" * 5000 + "]" * 5000, chr(92) + "ud800"
    unreadable = [f'{{"year": {value}}}' for value in (a_number, too_deep, "NaN", f'"{half}"')]
    for wrong in ('{"year": {"over": 1}}', "{", "7", *unreadable):
        assert "That search cannot be made" in browser.get("library-search", q="moon", filters=wrong)
    assert "There is no library Attic." in browser.get("library-search", q="moon", library="Attic")


def test_another_workspaces_documents_are_not_found(stranger: Caller, library: Library) -> None:
    browser = Browser(stranger)
    make_document(make_library(stranger.workspace), ["The sun."], title="Sun")

    assert "Nothing found" in browser.get("library-search", q="moon", mode="text")
    assert "Handbook" not in browser.get("library-search", q="moon", library="Handbook").html.partition("<form")[0]


def test_highlights_split_the_text_once() -> None:
    assert marked("the moon", [[4, 8], [4, 6]]) == [("the ", False), ("moon", True)]
    assert marked("moon", []) == [("moon", False)]
