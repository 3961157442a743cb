"""A document's way from upload to what is searched, with the real parser, chunker, model and store."""

import io
import threading

import pytest

from gateway_project.lib.errors import Conflict, InvalidRequest, NotFound, RequestTooLarge
from rag import services, storage
from rag.ingest import claims, parsing, rounds, spaces
from rag.ingest.lease import Lost
from rag.models import Chunk, Document, DocumentText, Entry, Library, StagedChunk, StagedText, Status
from rag.services import Actor

pytestmark = pytest.mark.django_db(transaction=True)

STORY = "\n\n".join(
    f"# Part {part}\n\nThe lighthouse keeper of island {part} counted {part * 7} ships that evening. "
    f"He wrote their names in a book, which his daughter read to him by the fire."
    for part in range(1, 13)
)


@pytest.fixture
def library(actor: Actor) -> Library:
    return services.create_library(actor, {"name": "stories", "chunk_tokens": 48, "overlap": 0})


def put(actor: Actor, library: Library, text: str, name: str = "story.txt") -> tuple[Document, bool]:
    return services.upload(actor, library, name=name, content=io.BytesIO(text.encode()))


def files(library: Library) -> list[str]:
    try:
        return storage.documents().listdir(f"{library.workspace_id}/{library.pk}")[1]
    except FileNotFoundError:
        return []


def whole(document: Document) -> None:
    """Exactly the chunks of the live version, each with one entry, and nothing staged."""
    chunks = list(Chunk.objects.filter(document=document).order_by("ordinal"))
    text = DocumentText.objects.get(document=document).text
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(text[chunk.start : chunk.end] == chunk.content for chunk in chunks)
    entries = Entry.objects.filter(document=document).values_list("chunk_id", flat=True)
    assert sorted(entries) == sorted(chunk.pk for chunk in chunks)
    assert document.chunks == document.chunks_done == document.chunks_total == len(chunks)
    assert not StagedChunk.objects.filter(document=document).exists()
    assert not StagedText.objects.filter(document=document).exists()


def test_an_upload_becomes_chunks_that_can_be_found(actor: Actor, library: Library) -> None:
    document, created = put(actor, library, STORY)
    assert created
    assert document.status == Status.QUEUED

    rounds.work()

    document.refresh_from_db()
    assert (document.status, document.live_version, document.error) == (Status.READY, 1, "")
    assert document.chunks > 5
    assert document.language == "en"
    whole(document)
    library.refresh_from_db()
    assert library.space is not None
    assert library.space.dimension == 384


def test_the_same_bytes_are_the_same_document(actor: Actor, library: Library) -> None:
    first, _ = put(actor, library, STORY)
    again, created = put(actor, library, STORY, "another name.txt")
    assert (again.pk, created) == (first.pk, False)
    assert len(files(library)) == 1


def test_two_uploads_of_the_same_bytes_at_once_are_one_document(actor: Actor, library: Library) -> None:
    from django.db import connections

    found: list[tuple[Document, bool]] = []
    barrier = threading.Barrier(4)

    def upload() -> None:
        barrier.wait()
        try:
            found.append(put(actor, library, STORY))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({document.pk for document, _ in found}) == 1
    assert sorted(created for _, created in found) == [False, False, False, True]
    assert len(files(library)) == 1


def test_changed_bytes_of_a_source_are_a_new_version_that_embeds_what_changed(
    actor: Actor, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.embedding import engine

    document, _ = put(actor, library, STORY)
    rounds.work()
    embedded: list[str] = []
    encode = engine.current.encode_documents

    def watched(texts: list[str], *rest: object) -> object:
        embedded.extend(texts)
        return encode(texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.current, "encode_documents", watched)
    old = set(Chunk.objects.filter(document=document).values_list("pk", flat=True))
    gone: list[object] = []
    services.on_documents_gone(lambda *told: gone.append(told))

    newer, created = put(actor, library, STORY.replace("island 5 counted 35", "island 5 counted 36"))

    assert (newer.pk, created, newer.version, newer.live_version) == (document.pk, True, 2, 1)
    assert set(Chunk.objects.filter(document=document).values_list("pk", flat=True)) == old
    rounds.work()
    newer.refresh_from_db()
    assert (newer.status, newer.live_version) == (Status.READY, 2)
    whole(newer)
    assert len(embedded) == 1
    assert "counted 36" in embedded[0]
    assert (library.workspace_id, frozenset([library.pk]), frozenset([document.pk])) in gone
    assert len(files(library)) == 1


def test_documents_are_cut_again_as_the_library_is_set_now(actor: Actor, library: Library) -> None:
    document, _ = put(actor, library, STORY)
    rounds.work()
    failed, _ = put(actor, library, " ", "blank.txt")
    rounds.work()
    document.refresh_from_db()
    before = document.chunks
    services.change_library(actor, library, {"chunk_tokens": 200, "overlap": 0, "contextual_header": False})

    assert services.rechunk(actor, library) == 1
    document.refresh_from_db()
    assert (document.status, document.chunks) == (Status.QUEUED, before)
    assert Chunk.objects.filter(document=document).count() == before
    rounds.work()

    document.refresh_from_db()
    assert (document.status, document.version, document.live_version) == (Status.READY, 1, 1)
    assert 0 < document.chunks < before
    whole(document)
    assert not Chunk.objects.filter(document=document).exclude(header="").exists()
    failed.refresh_from_db()
    assert failed.status == Status.FAILED


def test_what_is_on_its_way_is_cut_by_the_new_settings(actor: Actor, library: Library) -> None:
    document, _ = put(actor, library, STORY)
    claim = claims.next_claim()
    assert claim is not None
    space = spaces.space_of(library)
    parsing.parse(document, claim.lease, space)
    old = StagedChunk.objects.filter(document=document).count()
    services.change_library(actor, library, {"chunk_tokens": 200})

    assert services.rechunk(actor, library) == 1
    with pytest.raises(Lost), claim.lease.transaction():
        pass
    assert not StagedChunk.objects.filter(document=document).exists()
    rounds.work()
    document.refresh_from_db()
    assert 0 < document.chunks < old
    whole(document)


def test_nothing_of_a_refused_upload_stays(actor: Actor, library: Library, settings: object, tmp_path: object) -> None:
    settings.MAX_UPLOAD_BYTES = 1000  # type: ignore[attr-defined]
    with pytest.raises(RequestTooLarge):
        put(actor, library, "x" * 1001)
    with pytest.raises(InvalidRequest, match="file: is empty"):
        put(actor, library, "")
    with pytest.raises(InvalidRequest, match="metadata"):
        services.upload(
            actor, library, name="a.txt", content=io.BytesIO(b"text"), metadata={"a": {"b": {"c": {"d": {"e": {}}}}}}
        )

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the client left")

    with pytest.raises(OSError, match="the client left"):
        services.upload(actor, library, name="a.txt", content=Broken())
    assert files(library) == []
    assert not Document.objects.exists()


def test_an_upload_to_a_library_that_goes_meanwhile(actor: Actor, library: Library) -> None:
    stale = Library.objects.get(pk=library.pk)
    services.delete_library(actor, library)
    with pytest.raises(NotFound):
        put(actor, stale, STORY)
    assert files(stale) == []


def test_a_deleted_document_leaves_nothing(actor: Actor, library: Library) -> None:
    document, _ = put(actor, library, STORY)
    rounds.work()
    services.delete_document(actor, document)
    for model in (Document, Chunk, DocumentText, Entry, StagedChunk, StagedText):
        assert not model._default_manager.exists()
    assert files(library) == []


def test_a_deleted_library_leaves_nothing(actor: Actor, library: Library) -> None:
    put(actor, library, STORY)
    rounds.work()
    put(actor, library, "Something else that waits.", "b.txt")
    services.delete_library(actor, library)
    for model in (Document, Chunk, DocumentText, Entry, StagedChunk, StagedText):
        assert not model._default_manager.exists()
    assert files(library) == []
    rounds.work()


def test_the_default_library_stays(actor: Actor) -> None:
    default = services.default_library(actor.workspace_id)
    with pytest.raises(Conflict):
        services.delete_library(actor, default)
    with pytest.raises(Conflict):
        services.change_library(actor, default, {"name": "other"})


def test_a_cancelled_document_is_not_worked_at_and_can_be_tried_again(actor: Actor, library: Library) -> None:
    document, _ = put(actor, library, STORY)
    services.cancel(actor, document)
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code, document.chunks) == (Status.FAILED, "cancelled", 0)

    services.retry(actor, document)
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code) == (Status.READY, "")
    whole(document)


def test_cutting_again_that_is_cancelled_leaves_the_document_as_it_was(actor: Actor, library: Library) -> None:
    document = put_ready(actor, library)
    document.refresh_from_db()
    chunks = document.chunks
    services.rechunk(actor, library)

    services.cancel(actor, document)

    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error, document.cancelled, document.chunks) == (Status.READY, "", False, chunks)
    assert document.chunks_done == document.chunks_total == chunks
    whole(document)


def test_what_cannot_be_read_fails_in_words(actor: Actor, library: Library) -> None:
    document, _ = services.upload(actor, library, name="a.pdf", content=io.BytesIO(b"%PDF-1.7 broken"))
    rounds.work()
    document.refresh_from_db()
    assert (document.status, document.error_code) == (Status.FAILED, "broken")
    assert document.error
    with pytest.raises(Conflict):
        services.retry(actor, Document(pk=put_ready(actor, library).pk))


def put_ready(actor: Actor, library: Library) -> Document:
    document, _ = put(actor, library, "A short note about tea.", "tea.txt")
    rounds.work()
    return document
