"""`/api/libraries` as its users see it: owners, viewers and strangers."""

import io
import json
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Caller
from rag import services
from rag.models import Document, Library, Status
from rag.services import Actor
from tests.api_client import ApiAnswer, ApiClient
from tests.rag.embedder import EmbedderProcess

pytestmark = pytest.mark.django_db

LIBRARIES = "/api/libraries"


@pytest.fixture
def library(owner: Caller) -> Library:
    return services.create_library(Actor.of(owner), {"name": "stories"})


@pytest.fixture
def document(owner: Caller, library: Library) -> Document:
    return services.upload_text(Actor.of(owner), library, text="Once upon a time.", title="A story")[0]


def send(client: ApiClient, library: Library, *files: tuple[str, bytes], **fields: str) -> ApiAnswer:
    data: dict[str, Any] = {"file": [SimpleUploadedFile(name, content) for name, content in files], **fields}
    return ApiAnswer(client.http.post(f"{LIBRARIES}/{library.pk}/documents", data, headers=client.headers))


def test_the_default_library_is_there(api: ApiClient) -> None:
    [library] = api.get(LIBRARIES).json["data"]
    assert (library["name"], library["documents"], library["chunks"]) == ("default", 0, 0)
    assert api.delete(f"{LIBRARIES}/{library['id']}").status == 409
    assert api.patch(f"{LIBRARIES}/{library['id']}", name="other").status == 409


def test_a_library_is_made_changed_and_deleted(api: ApiClient) -> None:
    made = api.post(LIBRARIES, name="books", chunk_tokens=200, overlap=20, language="de", privacy_mode="strict")
    assert made.status == 201, made
    assert {name: made.json[name] for name in ("chunk_tokens", "overlap", "language", "privacy_mode")} == {
        "chunk_tokens": 200, "overlap": 20, "language": "de", "privacy_mode": "strict",
    }  # fmt: skip
    path = f"{LIBRARIES}/{made.json['id']}"
    changed = api.patch(path, chunk_tokens=None, contextual_header=False, privacy_mode=None)
    assert (changed.json["chunk_tokens"], changed.json["contextual_header"]) == (None, False)
    assert changed.json["privacy_mode"] is None
    assert (made.json["ocr"], api.patch(path, ocr=" OFF ").json["ocr"]) == ("auto", "off")
    changed = api.patch(path, ocr="house/qwen3-vl:8b")
    assert changed.json["ocr"] == "house/qwen3-vl:8b"
    assert api.get(path).json == changed.json
    assert api.delete(path).status == 204
    assert api.get(path).status == 404


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"name": "x" * 121}, 400, "name"),
        ({"name": "a\u0000b"}, 400, "name"),
        ({"name": "a", "chunk_tokens": 0}, 400, "chunk_tokens"),
        ({"name": "a", "chunk_tokens": "many"}, 400, "chunk_tokens"),
        ({"name": "a", "chunk_tokens": 10**9}, 400, "chunk_tokens"),
        ({"name": "a", "overlap": -1}, 400, "overlap"),
        ({"name": "a", "chunk_tokens": 100, "overlap": 90}, 400, "overlap"),
        ({"name": "a", "overlap": 41}, 400, "overlap"),
        ({"name": "a", "language": "english"}, 400, "language"),
        ({"name": "a", "language": "zz"}, 400, "language"),
        ({"name": "a", "privacy_mode": "secret"}, 400, "privacy_mode"),
        ({"name": "a", "ocr": ""}, 400, "ocr"),
        ({"name": "a", "ocr": None}, 400, "ocr"),
        ({"name": "a", "ocr": "x" * 301}, 400, "ocr"),
        ({"name": "a", "ocr": "a\u0000b"}, 400, "ocr"),
        ({"name": "a", "colour": "red"}, 400, "colour"),
        ({"name": "stories"}, 409, "name"),
    ],
)
def test_a_library_that_cannot_be(
    api: ApiClient, library: Library, body: dict[str, Any], status: int, field: str
) -> None:
    answer = api.post(LIBRARIES, body)
    assert (answer.status, answer.error["param"]) == (status, field)


def test_a_model_that_nobody_can_embed_with(api: ApiClient, library: Library, embedder: EmbedderProcess) -> None:
    for model, why in (
        ("nobody/has-this", "nobody/has-this is no embedding model"),
        ("BAAI/bge-small-en-v1.5", "its weights are not on this machine"),
        ("google/siglip-so400m-patch14-384", "is no text model"),
    ):
        for answer in (
            api.post(LIBRARIES, name="other", model=model),
            api.patch(f"{LIBRARIES}/{library.pk}", model=model),
            api.post(f"{LIBRARIES}/{library.pk}/reembed", model=model),
        ):
            assert (answer.status, answer.error["param"]) == (400, "model")
            assert why in answer.error["message"]
            assert answer.error["message"].endswith("Available: all-MiniLM-L6-v2.")
    assert not Library.objects.filter(name="other").exists()
    assert api.post(LIBRARIES, name="other", model="all-MiniLM-L6-v2").status == 201


@pytest.mark.usefixtures("no_worker")
def test_a_model_that_nobody_can_tell_about_is_taken(api: ApiClient) -> None:
    assert api.post(LIBRARIES, name="other", model="nobody/has-this").status == 201


def test_what_is_wrong_is_said_in_plain_words(api: ApiClient, library: Library) -> None:
    path = f"{LIBRARIES}/{library.pk}/documents"
    for answer, message in (
        (api.post(LIBRARIES), "name: is required."),
        (api.post(LIBRARIES, name="  "), "name: must not be empty."),
        (api.post(LIBRARIES, name="a", chunk_tokens="5"), "chunk_tokens: must be a whole number."),
        (api.post(LIBRARIES, name="a", privacy_mode="x"), "privacy_mode: must be 'strict' or 'flexible'."),
        (api.post(LIBRARIES, name="a", overlap=41), "overlap: must be at most half of a chunk: 40 tokens."),
        (api.post(path), "text: is required, or a url."),
        (api.post(path, text="a", colour=1), "colour: unknown; the fields are text, url, title, source, metadata."),
        (
            api.post(f"{LIBRARIES}/search", query="a", library=5),
            "library: must be a library's name or id, or a list of 1 to 100 of them.",
        ),
        (api.post(f"{LIBRARIES}/search", query="a", library=[]), "library: must be a library's name or id, or a list"),
        (api.post(f"{LIBRARIES}/search", query="a", library="nowhere"), "There is no library 'nowhere'."),
        (api.post(f"{LIBRARIES}/search", query=""), "query: must not be empty."),
    ):
        assert answer.error["message"].startswith(message)
        assert answer.error["param"] == message.partition(":")[0] or answer.status == 404


def test_documents_are_cut_again(api: ApiClient, viewer: Caller, stranger: Caller, document: Document) -> None:
    Document.objects.update(status=Status.READY)
    path = f"{LIBRARIES}/{document.library_id}/rechunk"
    assert ApiClient.of(viewer).post(path).status == 403
    assert ApiClient.of(stranger).post(path).status == 404
    assert api.get(path).status == 405

    begun = api.post(path)

    assert (begun.status, begun.json) == (202, {"documents": 1})
    document.refresh_from_db()
    assert document.status == Status.QUEUED
    assert api.post(path).json == {"documents": 0}


def test_files_are_uploaded(api: ApiClient, library: Library) -> None:
    one = send(api, library, ("a.txt", b"One text."), metadata=json.dumps({"year": 2024}))
    assert (one.status, one.json["status"], one.json["metadata"]) == (202, "queued", {"year": 2024})
    assert send(api, library, ("a copy.txt", b"One text.")).status == 200

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x/b.txt", "Another text.")
    several = send(api, library, ("c.txt", b"A third text."), ("d.zip", packed.getvalue()), ("e.txt", b""))
    assert several.status == 202
    assert [document["source"] for document in several.json["data"]] == ["c.txt", "x/b.txt"]
    assert (several.json["created"], [each["name"] for each in several.json["refused"]]) == (2, ["e.txt"])

    assert api.post(f"{LIBRARIES}/{library.pk}/documents", text="A fourth text.", title="Fourth").status == 202
    listed = api.get(f"{LIBRARIES}/{library.pk}/documents", search="four").json["data"]
    assert [document["title"] for document in listed] == ["Fourth"]


def test_what_is_no_upload(api: ApiClient, library: Library) -> None:
    path = f"{LIBRARIES}/{library.pk}/documents"
    for body, field in (
        (b"no json", "body"),
        ({"text": ""}, "text"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"text": "a", "metadata": []}, "metadata"),
        ({"text": "a", "metadata": {"a": "\ud800"}}, "body"),
    ):
        answer = api.post(path, body)
        assert (answer.status, answer.error["param"]) == (400, field), body
    assert send(api, library, ("a.txt", b"a"), metadata="{").error["param"] == "metadata"
    assert send(api, library).error["param"] == "file"
    assert not Document.objects.exists()


def test_a_document_is_read_changed_stopped_and_deleted(api: ApiClient, document: Document) -> None:
    path = f"{LIBRARIES}/{document.library_id}/documents/{document.pk}"
    shown = api.get(path).json
    assert (shown["title"], shown["status"], shown["progress"], shown["error"]) == ("A story", "queued", 0.0, None)
    assert api.get(f"{path}/text").status == 404
    assert api.get(f"{path}/chunks").json == {"data": [], "next_cursor": None}
    assert api.patch(path, metadata={"year": 1}, title="Another").json["metadata"] == {"year": 1}
    assert api.patch(path, metadata={"": 1}).error["param"] == "metadata"
    assert api.patch(path, title=" ").error["message"] == "title: must not be empty."

    stopped = api.post(f"{path}/cancel").json
    assert (stopped["status"], stopped["error_code"]) == ("failed", "cancelled")
    assert api.post(f"{path}/retry").json["status"] == "queued"

    file = api.http.get(f"{path}/file", headers=api.headers)
    assert file.getvalue() == b"Once upon a time."
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["x-content-type-options"] == "nosniff"

    assert api.delete(path).status == 204
    assert api.get(path).status == 404


def operations(document: Document) -> list[tuple[str, str, dict[str, Any]]]:
    library = f"{LIBRARIES}/{document.library_id}"
    path = f"{library}/documents/{document.pk}"
    return [
        ("GET", library, {}), ("GET", f"{library}/documents", {}), ("GET", path, {}), ("GET", f"{path}/text", {}),
        ("GET", f"{path}/chunks", {}), ("GET", f"{path}/file", {}),
        ("PATCH", library, {"name": "taken"}), ("POST", f"{library}/reembed", {"model": "m"}),
        ("POST", f"{library}/reembed/cancel", {}), ("POST", f"{library}/reembed/rollback", {}),
        ("POST", f"{library}/documents", {"text": "mine"}), ("PATCH", path, {"title": "mine"}),
        ("POST", f"{path}/cancel", {}), ("POST", f"{path}/retry", {}), ("DELETE", path, {}), ("DELETE", library, {}),
    ]  # fmt: skip


def test_a_stranger_finds_nothing(stranger: Caller, document: Document) -> None:
    client = ApiClient.of(stranger)
    for method, path, body in operations(document):
        answer = client.get(path) if method == "GET" else client.request(method, path, body)
        assert answer.status == 404, (method, path, answer)
    assert all(library["name"] == "default" for library in client.get(LIBRARIES).json["data"])
    document.refresh_from_db()
    assert (document.title, document.status) == ("A story", Status.QUEUED)


def test_a_viewer_reads_and_changes_nothing(viewer: Caller, document: Document) -> None:
    client = ApiClient.of(viewer)
    for method, path, body in operations(document):
        if method != "GET":
            assert client.request(method, path, body).status == 403, (method, path)
    assert client.post(LIBRARIES, name="mine").status == 403
    assert client.get(f"{LIBRARIES}/{document.library_id}/documents").json["data"]


def test_a_document_of_another_library_is_not_in_this_one(api: ApiClient, owner: Caller, document: Document) -> None:
    other = services.create_library(Actor.of(owner), {"name": "other"})
    assert api.get(f"{LIBRARIES}/{other.pk}/documents/{document.pk}").status == 404


def test_queries_do_not_grow_with_rows(api: ApiClient, owner: Caller) -> None:
    actor = Actor.of(owner)

    def fill(name: str) -> Library:
        library = services.create_library(actor, {"name": name})
        for number in range(5):
            services.upload_text(actor, library, text=f"{name} {number}")
        return library

    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status == 200
        return len(queries)

    first = fill("a")
    services.default_library(actor.workspace_id)
    few = count(LIBRARIES), count(f"{LIBRARIES}/{first.pk}/documents")
    for number in range(5):
        services.upload_text(actor, first, text=f"more {number}")
        fill(f"more {number}")
    assert (count(LIBRARIES), count(f"{LIBRARIES}/{first.pk}/documents")) == few
