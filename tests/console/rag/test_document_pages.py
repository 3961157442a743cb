"""Documents in the console: how they come in, what is seen of them, and what can be done to them."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.access import Caller
from rag.models import Chunk, Document, Library, Status
from rag.views import preview
from tests.console.browser import Browser
from tests.console.conftest import queries_of
from tests.rag.shelves import make_document, make_library

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script> ![pixel](https://evil.example/x.png) [click](javascript:alert(1))"


@pytest.fixture
def library(owner: Caller) -> Library:
    return make_library(owner.workspace, "Handbook")


def file(name: str, content: bytes = b"The moon is far.") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def asked_for_json(browser: Browser, library: Library, **fields: Any) -> Any:
    return browser.client.post(
        reverse("library-upload", args=[library.pk]), fields, headers={"accept": "application/json"}
    )


def test_an_empty_library_says_how_to_fill_it(browser: Browser, library: Library) -> None:
    page = browser.get("library", library.pk)

    assert "No documents yet" in page
    assert "Drop some files above" in page
    assert page.inline == []


def test_uploading_several_files_without_scripts(browser: Browser, library: Library) -> None:
    answer = browser.post("library-upload", library.pk, file=[file("a.txt"), file("b.txt", b"Other.")])

    page = browser.follow(answer)
    assert "2 documents on the way" in page
    assert "a.txt" in page
    assert "Queued" in page
    assert 'hx-trigger="every 2s"' in page.html


def test_uploading_nothing_is_said(browser: Browser, library: Library) -> None:
    assert "Send a file" in browser.follow(browser.post("library-upload", library.pk))


def test_the_queue_is_told_what_came_of_a_file(browser: Browser, library: Library) -> None:
    first = asked_for_json(browser, library, file=file("a.txt"), source="folder/a.txt")
    second = asked_for_json(browser, library, file=file("copy.txt"))

    assert first.json() == {"created": 1, "documents": 1, "refused": []}
    assert second.json() == {"created": 0, "documents": 1, "refused": []}
    assert Document.objects.get().source == "folder/a.txt"


def test_the_queue_is_told_in_words_why_a_file_is_refused(browser: Browser, library: Library, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 1024**2

    answer = asked_for_json(browser, library, file=file("big.txt", b"x" * (1024**2 + 1)))

    assert answer.status_code == 413
    assert answer.json() == {"error": "Too large: a file may have 1 MB."}


def test_pasting_a_text(browser: Browser, library: Library) -> None:
    assert browser.post("library-text", library.pk, htmx=True, text="  \n ").status == 422

    page = browser.follow(browser.post("library-text", library.pk, text="The moon.\nIt is far."))

    assert "The moon. is on its way" in page


def test_a_url_that_may_not_be_fetched(browser: Browser, library: Library) -> None:
    answer = browser.post("library-url", library.pk, htmx=True, url="http://169.254.169.254/latest/meta-data")

    assert answer.status == 422
    assert "field-error" in answer.html
    assert not Document.objects.exists()


def test_documents_are_listed_in_as_many_queries_as_one(browser: Browser, library: Library) -> None:
    make_document(library, ["one"])
    one = queries_of(lambda: browser.get("library", library.pk))
    for number in range(20):
        make_document(library, ["one"], title=f"title {number}")

    assert queries_of(lambda: browser.get("library", library.pk)) == one


def test_filtering_by_status_and_text(browser: Browser, library: Library) -> None:
    make_document(library, ["one"], title="Sun", status=Status.FAILED, error="It is encrypted.")
    make_document(library, ["one"], title="Moon")

    page = browser.get("library", library.pk, htmx=True, status="failed")
    assert "Sun" in page
    assert "It is encrypted." in page
    assert "Moon" not in page
    assert "Moon" in browser.get("library", library.pk, q="moo")
    assert "No document matches" in browser.get("library", library.pk, q="zzz")


def test_documents_come_in_pages(browser: Browser, library: Library) -> None:
    for number in range(51):
        make_document(library, [], title=f"title {number:02}")

    page = browser.get("library", library.pk)

    assert "title 50" in page
    assert "title 00" not in page
    cursor = page.html.partition("?cursor=")[2].partition('"')[0]
    assert "title 00" in browser.get("library", library.pk, cursor=cursor)
    assert browser.get("library", library.pk, cursor="nonsense").status == 303


def test_progress_is_asked_for_until_nothing_is_on_its_way(browser: Browser, library: Library) -> None:
    going = make_document(library, [], title="Sun", status=Status.EMBEDDING, chunks_total=10, chunks_done=4)
    make_document(library, ["one"], title="Moon")

    shown = browser.get("library", library.pk)
    asked = shown.html.partition("progress/?ids=")[2].partition('"')[0]
    assert asked == str(going.pk)
    moving = browser.get("library-progress", library.pk, ids=asked)
    assert "4 of 10 chunks" in moving
    assert "every 2s" in moving.html

    Document.objects.filter(pk=going.pk).update(status=Status.READY)
    done = browser.get("library-progress", library.pk, ids=asked)
    assert "Ready" in done
    assert "every 2s" not in done.html


def test_progress_of_what_is_no_id_or_somebody_elses(browser: Browser, library: Library, stranger: Caller) -> None:
    other = make_document(make_library(stranger.workspace), ["one"], title="Secret", status=Status.FAILED, error="why")

    assert "why" not in browser.get("library-progress", library.pk, ids=f"{other.pk},no-id,")


def test_a_documents_page_says_what_is_known_of_it(browser: Browser, library: Library) -> None:
    document = make_document(library, ["The moon is far."], title="Moon", notes=["Page 3 has no text."],
                             metadata={"author": "Ada"})  # fmt: skip

    page = browser.get("document", library.pk, document.pk)

    for words in ("The moon is far.", "Page 3 has no text.", "Ada", "Chunk 1", bytes(document.sha256).hex()):
        assert words in page
    assert page.inline == []


def test_text_is_never_anything_but_text(browser: Browser, library: Library) -> None:
    document = make_document(library, [EVIL], title=EVIL, notes=[EVIL], source=EVIL, metadata={"a": EVIL})

    for page in (browser.get("document", library.pk, document.pk), browser.get("library", library.pk)):
        assert page.inline == []
        assert "<script>alert" not in page.html
        assert '<img src="https' not in page.html
        assert 'href="javascript' not in page.html
        assert "evil.example" in page.html  # as text


def test_a_long_text_comes_in_pages_and_can_be_entered_anywhere(browser: Browser, library: Library) -> None:
    document = make_document(library, [f"passage {number:03}" for number in range(60)])
    for chunk in Chunk.objects.filter(document=document):
        Chunk.objects.filter(pk=chunk.pk).update(start=chunk.ordinal * 12, end=chunk.ordinal * 12 + 12)

    page = browser.get("document", library.pk, document.pk)
    assert "passage 024" in page
    assert "passage 025" not in page
    following = page.html.partition("?at=")[2].partition('"')[0]
    second = browser.get("document", library.pk, document.pk, at=following)
    assert "passage 025" in second
    assert "passage 024" not in second
    assert "passage 059" in browser.get("document", library.pk, document.pk, at="600")
    assert browser.get("document", library.pk, document.pk, at="x" * 50).status == 200


def test_what_chunks_share_is_marked(library: Library) -> None:
    document = make_document(library, ["one two", "two three"])
    Chunk.objects.filter(document=document, ordinal=0).update(start=0, end=7)
    Chunk.objects.filter(document=document, ordinal=1).update(start=4, end=13)

    shown = preview.of(document, "")["chunks"]

    assert [(each.shared, each.rest) for each in shown] == [("", "one two"), ("two", " three")]


def test_title_and_metadata_can_be_set(browser: Browser, library: Library) -> None:
    document = make_document(library, ["one"])

    saved = browser.post("document", library.pk, document.pk, title="Moon", metadata='{"year": 2020}')
    assert "The changes are saved" in browser.follow(saved)
    document.refresh_from_db()
    assert (document.title, document.metadata) == ("Moon", {"year": 2020})

    for wrong in ("{", "[1]", '{"a": NaN}', "[" * 60000):
        answer = browser.post("document", library.pk, document.pk, htmx=True, title="Moon", metadata=wrong)
        assert answer.status == 422, wrong[:20]
    document.refresh_from_db()
    assert document.metadata == {"year": 2020}


def test_retry_cancel_and_delete(browser: Browser, library: Library) -> None:
    document = make_document(
        library, [], title="Moon", status=Status.FAILED, error="The worker ran out of memory.", live_version=0
    )

    page = browser.get("document", library.pk, document.pk)
    assert "The worker ran out of memory." in page
    assert "is tried again" in browser.follow(browser.post("document-retry", library.pk, document.pk))
    assert "is cancelled" in browser.follow(browser.post("document-cancel", library.pk, document.pk))
    assert "Delete Moon?" in browser.get("document-remove", library.pk, document.pk)
    assert "Moon is deleted" in browser.follow(browser.post("document-remove", library.pk, document.pk))
    assert not Document.objects.exists()


def test_one_that_is_cut_again_is_left_as_it_was_when_that_is_cancelled(browser: Browser, library: Library) -> None:
    document = make_document(library, ["one"], title="Moon", status=Status.QUEUED)

    said = browser.follow(browser.post("document-cancel", library.pk, document.pk))
    again = browser.follow(browser.post("document-cancel", library.pk, document.pk))

    assert "Moon is left as it was" in said
    assert "Moon was done already" in again


def test_several_are_deleted_after_a_question(browser: Browser, library: Library) -> None:
    ids = [make_document(library, ["one"], title=f"title {number}").pk for number in range(3)]

    asked = browser.post("library-bulk", library.pk, htmx=True, action="delete", id=ids[:2])
    assert "Delete 2 documents?" in asked
    assert Document.objects.count() == 3

    gone = browser.post("library-bulk", library.pk, action="delete", sure="yes", id=ids[:2])
    assert "2 documents are deleted" in browser.follow(gone)
    assert Document.objects.count() == 1
    assert browser.post("library-bulk", library.pk, htmx=True, action="delete").status == 204


def test_only_those_that_can_be_are_retried(browser: Browser, library: Library) -> None:
    failed = make_document(library, [], status=Status.FAILED)
    ready = make_document(library, ["one"])

    answer = browser.post("library-bulk", library.pk, action="retry", id=[failed.pk, ready.pk])
    assert "1 document is tried again" in browser.follow(answer)
    assert browser.post("library-bulk", library.pk, htmx=True, action="retry", id=[ready.pk]).status == 204


def test_another_librarys_documents_are_not_touched(browser: Browser, library: Library, stranger: Caller) -> None:
    other = make_document(make_library(stranger.workspace), ["one"])

    browser.post("library-bulk", library.pk, action="delete", sure="yes", id=[other.pk])

    assert Document.objects.filter(pk=other.pk).exists()
    assert browser.get("document", library.pk, other.pk).status == 404
    assert Browser(stranger).get("document", library.pk, other.pk).status == 404
    for page in ("document-retry", "document-cancel", "document-remove"):
        assert browser.post(page, library.pk, other.pk).status == 404


def test_a_viewer_reads_a_document_and_cannot_touch_it(viewer: Caller, library: Library) -> None:
    document = make_document(library, ["The moon is far."], status=Status.FAILED)
    browser = Browser(viewer)

    page = browser.get("document", library.pk, document.pk)
    assert "The moon is far." in page
    assert 'method="post"' not in page.html.partition("<main")[2]
    for name in ("document", "document-retry", "document-cancel", "document-remove"):
        assert browser.post(name, library.pk, document.pk, title="x").status == 403


def test_a_file_is_saved_and_never_shown(browser: Browser, library: Library) -> None:
    asked_for_json(browser, library, file=file("page.html", b"<script>alert(1)</script>"))
    document = Document.objects.get()

    answer: Any = browser.client.get(reverse("document-file", args=[library.pk, document.pk]))

    assert answer.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert answer.headers["content-security-policy"] == "sandbox"
    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"
