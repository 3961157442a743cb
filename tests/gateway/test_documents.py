"""Documents as a gateway key sees them, in the whole product: ingested by its worker, found, and gone again."""

import io
import json
import socket
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process

# A worker that was just started loads its model first.
PATIENCE = 180.0


class Desk:
    """A gateway key's documents."""

    def __init__(self, gateway: Process, key: str) -> None:
        self.http = httpx.Client(base_url=gateway.url, timeout=60, trust_env=False)
        self.http.headers["authorization"] = f"Bearer {key}"

    def ingest(self, expect: int = 202, **body: Any) -> dict[str, Any]:
        return self.told(self.http.post("/documents/ingest", json=body), expect)

    def send(self, name: str, content: bytes, expect: int = 202, **fields: str) -> dict[str, Any]:
        return self.told(self.http.post("/documents/ingest", files={"file": (name, content)}, data=fields), expect)

    def search(self, query: str, expect: int = 200, **body: Any) -> dict[str, Any]:
        return self.told(self.http.post("/documents/search", json={"query": query, **body}), expect)

    def ready(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document, once it is done."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.told(self.http.get(f"/documents/{document['id']}"), 200)
            assert found["status"] != "failed", found
            if found["status"] == "ready":
                return found
            time.sleep(0.25)
        raise AssertionError(f"it is not ready after {PATIENCE} s: {found}")

    @staticmethod
    def told(answer: httpx.Response, expect: int) -> dict[str, Any]:
        assert answer.status_code == expect, answer.text
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body["error"] if expect >= 400 else body


@pytest.fixture(scope="module")
def desk(gateway: Process, account: Account) -> Iterator[Desk]:
    key = account.create_key(name="documents")
    yield Desk(gateway, key["key"])
    account.call("DELETE", f"/api/keys/gateway/{key['id']}", 204)


@pytest.fixture(scope="module")
def animals(desk: Desk) -> dict[str, Any]:
    text = "Cats sleep sixteen hours a day.\n\nAn octopus has three hearts.\n\nSwifts sleep while they fly."
    return desk.ready(desk.send("animals.txt", text.encode(), metadata='{"year": 2024, "kind": "zoology"}'))


def test_a_file_is_ingested_and_found(desk: Desk, animals: dict[str, Any]) -> None:
    assert animals["progress"] == 1.0
    assert animals["chunks"] >= 1
    assert (animals["error"], animals["source"]) == (None, "animals.txt")

    found = desk.search("How many hearts does an octopus have?")
    [first, *_] = found["results"]
    assert (found["query"], found["count"]) == ("How many hearts does an octopus have?", len(found["results"]))
    assert first["document_id"] == animals["id"]
    assert "three hearts" in first["content"]
    assert set(first) >= {"title", "chunk_id", "page", "start", "end", "score", "highlights"}


def test_the_simple_search(desk: Desk, animals: dict[str, Any]) -> None:
    answer = Desk.told(desk.http.post("/search", json={"query": "octopus", "limit": 3}), 200)
    assert answer["count"] == len(answer["documents"]) >= 1
    assert answer["documents"][0]["id"] == animals["id"]
    assert answer["documents"][0]["metadata"]["kind"] == "zoology"
    for body, field in (({}, "query"), ({"query": "a", "limit": 0}, "limit"), ({"query": "a", "top": 1}, "top")):
        assert Desk.told(desk.http.post("/search", json=body), 400)["param"] == field


def test_filters_choose_documents(desk: Desk, animals: dict[str, Any]) -> None:
    assert desk.search("sleep", filters={"year": {"gte": 2024}})["count"] >= 1
    assert desk.search("sleep", filters={"year": {"lt": 2024}})["count"] == 0
    assert desk.search("sleep", 400, filters={"year": {"near": 1}})["param"].startswith("filters")
    deep: dict[str, Any] = {"year": 1}
    for _ in range(50):
        deep = {"not": deep}
    assert desk.search("sleep", 400, filters=deep)["param"].startswith("filters")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"top_k": -1}, "top_k"),
        ({"top_k": "5"}, "top_k"),
        ({"mode": "magic"}, "mode"),
        ({"query": ""}, "query"),
        ({"query": "x" * 100_000}, "query"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_search_that_is_none(desk: Desk, body: dict[str, Any], field: str) -> None:
    error = Desk.told(desk.http.post("/documents/search", json={"query": "cats", **body}), 400)
    assert (error["code"], error["param"]) == ("invalid_request_error", field)


def test_same_bytes_are_the_first_document(desk: Desk) -> None:
    first = desk.ingest(text="The same text twice.", title="First")
    again = desk.ingest(200, text="The same text twice.", title="Second")
    assert (again["id"], again["title"]) == (first["id"], "First")
    assert first["status"] == "queued"


def test_changed_bytes_are_a_new_version(desk: Desk) -> None:
    first = desk.ready(desk.send("plan.txt", b"We meet on Monday in the blue room."))
    newer = desk.send("plan.txt", b"We meet on Tuesday in the blue room.")
    assert (newer["id"], newer["version"], newer["live_version"]) == (first["id"], 2, 1)
    assert desk.ready(newer)["live_version"] == 2
    [found, *_] = desk.search("When do we meet in the blue room?")["results"]
    assert "Tuesday" in found["content"]


def test_a_zip_is_its_files(desk: Desk) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("notes/a.txt", "Basalt is a dark rock.")
        archive.writestr("notes/b.txt", "Chalk is a white rock.")
        archive.writestr("notes/empty.txt", "")
    taken = desk.send("notes.zip", packed.getvalue())
    assert [document["source"] for document in taken["data"]] == ["notes/a.txt", "notes/b.txt"]
    assert (taken["created"], [refused["name"] for refused in taken["refused"]]) == (2, ["notes/empty.txt"])


def test_a_deleted_document_is_not_found_any_more(desk: Desk) -> None:
    document = desk.ready(desk.ingest(text="The password of the wine cellar is Montepulciano.", title="Cellar"))
    assert desk.search("wine cellar", mode="text")["count"] == 1
    answer = desk.http.delete(f"/documents/{document['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert desk.search("wine cellar", mode="text")["count"] == 0
    assert Desk.told(desk.http.get(f"/documents/{document['id']}"), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "text"),
        ({"text": ""}, 400, "text"),
        ({"text": " \n"}, 400, "text"),
        ({"text": "a", "library": "nowhere"}, 404, "library"),
        ({"text": "a", "library": 5}, 400, "library"),
        ({"text": "a", "metadata": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}, 400, "metadata"),
        ({"text": "a", "metadata": {"": 1}}, 400, "metadata"),
        ({"text": "a", "metadata": {"k": "x" * 20_000}}, 400, "metadata"),
        ({"text": "a", "url": "http://example.com"}, 400, "url"),
        ({"url": "http://me:secret@example.com/"}, 400, "url"),
        ({"url": "http://127.0.0.1/"}, 400, "url"),
        ({"url": "http://169.254.169.254/latest"}, 400, "url"),
    ],
)
def test_a_document_that_is_none(desk: Desk, body: dict[str, Any], status: int, field: str) -> None:
    error = Desk.told(desk.http.post("/documents/ingest", json=body), status)
    assert error["param"] == field
    assert "secret" not in error["message"]


def test_a_form_that_is_none(desk: Desk) -> None:
    assert desk.send("empty.txt", b"", 400)["param"] == "file"
    assert desk.send("a.txt", b"a", 400, metadata="[1]")["param"] == "metadata"
    assert desk.send("a.txt", b"a", 400, colour="red")["param"] == "colour"
    answer = desk.http.post("/documents/ingest", content=b"--x", headers={"content-type": "multipart/form-data"})
    assert answer.status_code == 400


def test_a_body_that_is_too_long_is_refused_before_it_is_read(gateway: Process, desk: Desk) -> None:
    head = (
        "POST /documents/ingest HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: {desk.http.headers['authorization']}\r\n"
        "content-type: multipart/form-data; boundary=x\r\ncontent-length: 1000000000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "request_too_large" in answer


def test_scopes(gateway: Process, account: Account, desk: Desk) -> None:
    reader = Desk(gateway, account.create_key(name="reader", scopes=["documents:read"])["key"])
    writer = Desk(gateway, account.create_key(name="writer", scopes=["documents:write"])["key"])
    assert reader.ingest(403, text="a")["code"] == "permission_denied"
    assert writer.search("a", 403)["code"] == "permission_denied"
    document = writer.ingest(text="Written by who may write.")
    assert reader.told(reader.http.get(f"/documents/{document['id']}"), 200)["id"] == document["id"]
    assert reader.told(reader.http.delete(f"/documents/{document['id']}"), 403)["code"] == "permission_denied"
    assert Desk(gateway, "gw_nonsense").ingest(401, text="a")["code"] == "invalid_api_key"


def test_another_workspace_sees_nothing(
    gateway: Process, desk: Desk, animals: dict[str, Any], other_account: Account
) -> None:
    other = Desk(gateway, other_account.create_key(name="other")["key"])
    assert other.search("octopus hearts")["count"] == 0
    assert other.told(other.http.get("/documents"), 200) == {"data": [], "next_cursor": None}
    assert other.told(other.http.get(f"/documents/{animals['id']}"), 404)
    assert other.told(other.http.delete(f"/documents/{animals['id']}"), 404)
    assert other.search("octopus", 404, library=animals["library_id"])
    assert other.ingest(404, text="a", library=animals["library_id"])
    assert desk.told(desk.http.get(f"/documents/{animals['id']}"), 200)


def test_documents_are_listed_page_by_page(desk: Desk, animals: dict[str, Any]) -> None:
    desk.ready(desk.ingest(text="One more for the list.", title="More"))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = desk.told(desk.http.get("/documents", params={"limit": 1, "cursor": cursor}), 200)
        seen += [document["id"] for document in page["data"]]
        cursor = page["next_cursor"]
    assert animals["id"] in seen
    assert len(set(seen)) == len(seen) >= 2
    for wrong in (
        {"limit": "0"},
        {"limit": "x"},
        {"limit": "\u00b2"},
        {"limit": "1" * 20},
        {"status": "odd"},
        {"cursor": "odd"},
    ):
        assert desk.told(desk.http.get("/documents", params=wrong), 400)["param"] == next(iter(wrong))


def test_limits_hold_and_the_ledger_knows(gateway: Process, account: Account) -> None:
    key = account.create_key(name="slow", rate_limit_requests=2, rate_limit_window=60)
    slow = Desk(gateway, key["key"])
    first = slow.http.post("/documents/search", json={"query": "anything"})
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-request-id"]
    slow.ingest(text="Within the limit.")
    refused = slow.http.post("/documents/search", json={"query": "anything"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    # How things stand may always be asked.
    assert slow.http.get("/documents").status_code == 200
    record = account.record(first.headers["x-request-id"])
    assert (record["status"], record["cost_usd"], record["key_id"]) == (200, "0", key["id"])


def test_what_is_sent_counts_towards_limits_of_tokens(gateway: Process, account: Account) -> None:
    """Whether its length is told before or not."""
    query = json.dumps({"query": "word " * 150}).encode()  # some 190 tokens
    for content in (lambda: query, lambda: iter([query])):
        key = account.create_key(name="few", rate_limit_tokens=500)
        few = Desk(gateway, key["key"])
        few.http.headers["content-type"] = "application/json"
        told = [few.http.post("/documents/search", content=content()).status_code for _ in range(4)]
        assert (told[0], told[-1]) == (200, 429)
