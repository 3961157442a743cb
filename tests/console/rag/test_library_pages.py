"""Libraries in the console: the list, a new one, its settings, its end, and who sees which of it."""

from typing import Any

import pytest

from accounts.access import Caller
from rag import services
from rag.models import Document, Library
from rag.services import Actor
from tests.console.browser import Browser
from tests.console.conftest import queries_of
from tests.rag.shelves import make_document, make_library, make_space

pytestmark = pytest.mark.django_db
SETTINGS = {"name": "Handbook", "chunk_tokens": "200", "overlap": "40", "contextual_header": "on"}


@pytest.fixture
def library(owner: Caller) -> Library:
    return services.create_library(Actor.of(owner), {"name": "Handbook"})


def test_a_new_workspace_is_told_what_libraries_are_for(browser: Browser) -> None:
    page = browser.get("libraries")

    assert "No documents yet" in page
    assert "Add the first documents" in page
    assert "default" in page
    assert page.inline == []


def test_the_list_says_what_each_holds_in_as_many_queries_as_for_one(browser: Browser, owner: Caller) -> None:
    first = make_library(owner.workspace)
    make_document(first, ["one", "two"])
    one = queries_of(lambda: browser.get("libraries"))
    for number in range(10):
        make_document(make_library(owner.workspace, f"library {number}"), ["one"], title=f"title {number}")

    assert queries_of(lambda: browser.get("libraries")) == one
    page = browser.get("libraries")
    assert "library 9" in page
    assert "No documents yet" not in page
    assert "test/model" in page


def test_the_list_says_how_much_room_is_taken(browser: Browser, owner: Caller, settings: Any) -> None:
    settings.MAX_WORKSPACE_BYTES = 10 * 1024**2
    make_document(make_library(owner.workspace), ["one"])
    Document.objects.update(size=3 * 1024**2 + 1)

    assert "take 3 MB of 10 MB" in browser.get("libraries")
    settings.MAX_WORKSPACE_BYTES = 0
    assert "Documents of this workspace take" not in browser.get("libraries")


def test_a_worker_that_is_away_is_said_and_waited_for_by_nobody(browser: Browser) -> None:
    assert "The embedding worker does not answer" in browser.get("libraries")


def test_creating_one(browser: Browser) -> None:
    answer = browser.post("library-new", **SETTINGS, privacy_mode="strict", language="en")

    assert answer.status == 303
    page = browser.follow(answer)
    assert "Handbook is created" in page
    library = Library.objects.get(name="Handbook")
    assert (library.chunk_tokens, library.overlap, library.privacy_mode) == (200, 40, "strict")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "This field is required"),
        ({"overlap": "150"}, "at most half"),
        ({"chunk_tokens": "3"}, "greater than or equal to 16"),
        ({"language": "E!"}, "two letters"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(browser: Browser, wrong: dict[str, str], told: str) -> None:
    answer = browser.post("library-new", htmx=True, **{**SETTINGS, **wrong})

    assert answer.status == 422
    assert told in answer
    assert "<html" not in answer.html


def test_a_name_that_is_taken(browser: Browser, library: Library) -> None:
    assert "There is a library 'Handbook' already" in browser.post("library-new", **SETTINGS)


def test_changing_settings(browser: Browser, library: Library) -> None:
    answer = browser.post("library-settings", library.pk, **{**SETTINGS, "name": "Guide"}, privacy_mode="strict")

    assert "The changes are saved" in browser.follow(answer)
    library.refresh_from_db()
    assert (library.name, library.privacy_mode, library.ocr) == ("Guide", "strict", "auto")
    browser.post("library-settings", library.pk, **SETTINGS, ocr="house/qwen3-vl:8b")
    library.refresh_from_db()
    assert library.ocr == "house/qwen3-vl:8b"
    assert 'value="house/qwen3-vl:8b"' in browser.get("library-settings", library.pk).html


def test_documents_are_cut_again_when_chunks_change(browser: Browser, owner: Caller) -> None:
    library = make_library(owner.workspace, "Handbook")
    assert "cut again" not in browser.get("library-settings", library.pk)
    assert "None of its documents" in browser.follow(browser.post("library-rechunk", library.pk))
    document = make_document(library, ["one", "two"])

    changed = browser.follow(browser.post("library-settings", library.pk, **SETTINGS))
    assert "can be cut again below" in changed
    assert "Cut them again" in changed
    same = browser.follow(browser.post("library-settings", library.pk, **SETTINGS, privacy_mode="strict"))
    assert "cut again below" not in same

    begun = browser.follow(browser.post("library-rechunk", library.pk))
    assert "1 document is cut again" in begun
    assert "1 on the way" in begun
    document.refresh_from_db()
    assert document.status == "queued"


def test_the_default_library_keeps_its_name_and_stays(browser: Browser, owner: Caller) -> None:
    library = services.default_library(owner.workspace.pk)

    assert "Delete this library" not in browser.get("library-settings", library.pk)
    assert browser.post("library-settings", library.pk, **{**SETTINGS, "name": "other"}).status == 303
    library.refresh_from_db()
    assert (library.name, library.chunk_tokens) == ("default", 200)
    assert "default library stays" in browser.follow(browser.post("library-remove", library.pk))


def test_an_embedded_library_changes_its_model_elsewhere(browser: Browser, owner: Caller) -> None:
    library = make_library(owner.workspace, "embedded")

    assert 'name="model"' not in browser.get("library-settings", library.pk).html
    assert browser.post("library-settings", library.pk, **SETTINGS, model="other").status == 303
    library.refresh_from_db()
    assert library.model == ""


def test_deleting_asks_and_names_what_goes(browser: Browser, owner: Caller) -> None:
    library = make_library(owner.workspace, "old")
    make_document(library, ["one", "two"])

    asked = browser.get("library-remove", library.pk, htmx=True)
    assert "Delete old?" in asked
    assert "1 document with 2 chunks" in asked
    assert Library.objects.filter(pk=library.pk).exists()

    assert "old is deleted" in browser.follow(browser.post("library-remove", library.pk))
    assert not Library.objects.filter(pk=library.pk).exists()


def test_a_viewer_sees_everything_and_gets_no_control(viewer: Caller, library: Library) -> None:
    browser = Browser(viewer)

    for page in ("library", "library-settings", "library-reembedding"):
        shown = browser.get(page, library.pk)
        assert shown.status == 200
        assert 'method="post"' not in shown.html.partition("<main")[2]
    assert "New library" not in browser.get("libraries")
    for page in ("library-settings", "library-remove", "library-upload", "library-text", "library-url", "library-bulk",
                 "library-reembedding", "library-reembedding-cancel", "library-reembedding-back",
                 "library-rechunk"):  # fmt: skip
        assert browser.post(page, library.pk, **SETTINGS, model="").status == 403
    assert browser.post("library-new", **SETTINGS).status == 403


def test_it_is_not_there_for_a_stranger(stranger: Caller, library: Library) -> None:
    browser = Browser(stranger)

    for page in ("library", "library-settings", "library-remove", "library-text", "library-url", "library-progress",
                 "library-reembedding", "library-reembedding-progress"):  # fmt: skip
        assert browser.get(page, library.pk).status == 404
    for page in ("library-settings", "library-remove", "library-upload", "library-bulk", "library-reembedding",
                 "library-rechunk"):  # fmt: skip
        assert browser.post(page, library.pk, **SETTINGS).status == 404
    assert browser.get("library", "no-id").status == 404
    assert "Handbook" not in browser.get("libraries")


def test_moving_to_another_model_and_giving_it_up(browser: Browser, library: Library) -> None:
    begun = browser.follow(browser.post("library-reembedding", library.pk, model="other/model"))
    assert "Re-embedding has begun" in begun
    assert "Give it up" in begun
    assert "hx-trigger" in browser.get("library-reembedding-progress", library.pk).html

    again = browser.post("library-reembedding", library.pk, htmx=True, model="third/model")
    assert again.status == 422
    assert "cancel it first" in again

    assert "Cancelled" in browser.follow(browser.post("library-reembedding-cancel", library.pk))
    assert "hx-trigger" not in browser.get("library-reembedding-progress", library.pk).html


def test_going_back_without_a_former_model(browser: Browser, library: Library) -> None:
    answer = browser.follow(browser.post("library-reembedding-back", library.pk))

    assert "was not re-embedded" in answer


def test_the_way_back_is_offered(browser: Browser, owner: Caller) -> None:
    library = make_library(owner.workspace, "moved")
    former = make_space(owner.workspace, model="former/model")
    library.reembeddings.create(model="test/model", old_space=former, new_space=library.space, state="done")

    assert "Go back to former/model" in browser.get("library-reembedding", library.pk)
