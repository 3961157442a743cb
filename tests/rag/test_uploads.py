"""Uploads in bulk and from URLs: a ZIP, a page behind a redirect, and what leads where nobody should go."""

import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gateway_project.lib.errors import InvalidRequest, RequestTooLarge
from rag import services, storage
from rag.ingest import fetch, sweep
from rag.models import Document, Library
from rag.naming import name_of
from rag.services import Actor

pytestmark = pytest.mark.django_db(transaction=True)


class Page(BaseHTTPRequestHandler):
    """`/page`, and ways to it that are none."""

    def do_GET(self) -> None:
        leads = {
            "/moved": "/page?a=1",
            "/round": "/round",
            "/inside": "http://169.254.169.254/latest/meta-data",
            "/broken": "http://[",
            "/password": "http://user:secret@localhost/page",
        }
        path = self.path.partition("?")[0]
        if path in leads:
            self.send_response(302)
            self.send_header("location", leads[path])
            self.end_headers()
        elif path == "/page":
            self._answer(b"<p>The moon is far.</p>")
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(b"x" * 1000)
        else:
            self.send_error(404)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(settings: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.CLIENTS_PRIVATE_HOSTS = (f"127.0.0.1:{server.server_port}",)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_page_is_fetched_behind_its_redirect(actor: Actor, library: Library, site: str) -> None:
    document, created = services.upload_url(actor, library, url=f"{site}/moved", metadata={"kind": "page"})
    assert created
    assert (document.source, document.media_type) == (f"{site}/moved", "text/html")
    assert document.metadata == {"kind": "page"}
    assert document.title == name_of(document.source) == "moved"
    with storage.documents().open(document.file) as stored:
        assert stored.read() == b"<p>The moon is far.</p>"
    assert services.upload_url(actor, library, url=f"{site}/page")[1] is False


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nothing", "answered 404"),
        ("/round", "redirects more than 5 times"),
        ("/inside", "private address"),
        ("/broken", "redirects to what is no URL"),
        ("/password", "no user name and no password"),
    ],
)
def test_a_way_that_leads_nowhere_good(actor: Actor, library: Library, site: str, path: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as refusal:
        services.upload_url(actor, library, url=f"{site}{path}")
    assert refusal.value.param == "url"
    assert not Document.objects.exists()


def test_an_endless_answer_is_cut_off(actor: Actor, library: Library, site: str, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 5000
    with pytest.raises(RequestTooLarge):
        services.upload_url(actor, library, url=f"{site}/endless")
    assert not Document.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@example.com/",
        "http://localhost/",
        "http://127.0.0.1:1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "http://exa mple.com/",
        "//example.com",
        "http://example.com\\@127.0.0.1/",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(fetch.FetchError) as refusal:
        fetch.check(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("host", ["localhost", "10.0.0.1", "[::1]"])
def test_no_variable_is_named_that_would_not_help(host: str) -> None:
    with pytest.raises(fetch.FetchError) as refusal:
        fetch.check(f"http://{host}/")
    assert str(refusal.value) == "leads to a private address, where documents are not fetched from."


def packed(**members: bytes) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + ".txt", content)
    made.seek(0)
    return made


def test_a_zip_becomes_its_files(actor: Actor, library: Library) -> None:
    archive = packed(a__one=b"One is a number.", a__two=b"Two is, too.", b__copy=b"One is a number.", b__empty=b"")
    bulk = services.upload_archive(actor, library, name="all.zip", content=archive)
    assert sorted(document.source for document in bulk.documents) == ["a/one.txt", "a/two.txt"]
    assert bulk.created == 2
    assert bulk.refused == [("b/empty.txt", "It is empty.")]

    again = services.upload_archive(actor, library, name="all.zip", content=packed(a__one=b"One was a number."))
    assert [document.version for document in again.documents] == [2]
    assert Document.objects.count() == 2


def test_what_is_no_zip(actor: Actor, library: Library) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        services.upload_archive(actor, library, name="a.zip", content=io.BytesIO(b"PK not really"))
    assert refusal.value.param == "file"


def test_files_that_nobody_names_are_swept(actor: Actor, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    document, _ = services.upload_text(actor, library, text="It stays.")
    orphan = storage.store(actor.workspace_id, library.pk, io.BytesIO(b"It was never entered."))
    assert sweep.sweep_files() == 0
    monkeypatch.setattr(sweep, "ALONE", -1.0)
    assert sweep.sweep_files() >= 1
    assert not storage.documents().exists(orphan.name)
    assert storage.documents().exists(document.file)
