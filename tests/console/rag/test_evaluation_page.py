"""The page that measures a library on a file of questions."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.access import Caller
from rag.models import DocumentText, Library
from rag.views import evaluation
from tests.console.browser import Browser
from tests.rag.shelves import make_document, make_library

pytestmark = pytest.mark.django_db

SEA, SKY = "The herring swims in shoals of a million.", "The swift sleeps while it flies."


@pytest.fixture
def library(owner: Caller) -> Library:
    made = make_library(owner.workspace, "Animals")
    for title, text in (("Sea", SEA), ("Sky", SKY)):
        DocumentText.objects.create(document=make_document(made, [text], title=title), text=text)
    return made


def questions(*rows: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("mine.csv", "\n".join(["question,passage,document", *rows]).encode())


def test_the_page_says_what_it_takes(browser: Browser, library: Library) -> None:
    page = browser.get("library-evaluation", library.pk)
    assert "What does a search find?" in page
    assert "make eval-rag" not in page
    assert page.inline == []


def test_each_way_to_search_has_a_line(browser: Browser, library: Library) -> None:
    file = questions(f"How does a herring swim?,{SEA},", f"When does the swift sleep?,{SKY},Sky", "Who flies?,,Sky")

    answer = browser.post("library-evaluation", library.pk, file=file, top_k=1)

    assert answer.status == 200
    page = answer.html
    assert "3 questions, 1 passage each" in page
    for name in ("Both", "Meaning", "Words"):
        assert f'<th scope="row">{name}' in page.replace("\n", "")
    # The space is of a model that does not exist: words are all there is, and the page says so.
    assert "Searched by words alone" in page
    assert "1.000" in page
    assert "Text found" in page


def test_rows_that_are_nowhere_are_named(browser: Browser, library: Library) -> None:
    file = questions(f"How does a herring swim?,{SEA},", "And <b>whales</b>?,<i>Slowly.</i>,")

    page = browser.post("library-evaluation", library.pk, file=file, top_k=5).html

    assert "1 question, 5 passages each" in page
    assert "Line 3: &lt;i&gt;Slowly.&lt;/i&gt;" in page
    assert "1 question of which nothing is here is left out" in page


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "Has no questions"),
        (["A question alone,,"], "Line 2 has neither a passage nor a document"),
        (["What?,Nowhere to be found.,"], "None of these passages and documents is in this library"),
        (["What?,a,"] * (evaluation.MOST_ROWS + 1), "Has more than 300 rows"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(browser: Browser, library: Library, rows: list[str], said: str) -> None:
    answer = browser.post("library-evaluation", library.pk, file=questions(*rows), top_k=5)
    assert answer.status == 422
    assert said in answer.html


def test_nothing_sent(browser: Browser, library: Library) -> None:
    assert browser.post("library-evaluation", library.pk, top_k=99).status == 422


def test_the_time_is_bounded(browser: Browser, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SECONDS", -1)
    answer = browser.post("library-evaluation", library.pk, file=questions(f"How?,{SEA},"), top_k=5)
    assert answer.status == 422
    assert "all the time there is" in answer.html


def test_a_viewer_may_measure_and_a_stranger_sees_nothing(viewer: Caller, stranger: Caller, library: Library) -> None:
    answer = Browser(viewer).post("library-evaluation", library.pk, file=questions(f"Herring?,{SEA},"), top_k=5)
    assert answer.status == 200
    assert Browser(stranger).client.get(f"/console/libraries/{library.pk}/evaluation/").status_code == 404
