"""Pages that are pictures, read by a vision model: chosen as for a request, in the ledger, and within budgets."""

import io
import itertools
import socket
import time
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw

from tests.gateway.account import Account
from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene

# Seconds: for the first document the worker has to read torch and the model from the disk.
WITHIN = 300
pytestmark = pytest.mark.timeout(WITHIN + 100)

_numbers = itertools.count(1)
SAID = "Invoice 4711\n\nTo be paid by Henry Winstanley in March."


def scan(*pages: str) -> bytes:
    """A PDF of pictures of text."""
    pictures = []
    for text in pages:
        picture = Image.new("L", (600, 300), 255)
        ImageDraw.Draw(picture).text((50, 100), text, fill=0)
        pictures.append(picture)
    written = io.BytesIO()
    pictures[0].save(written, "PDF", save_all=True, append_images=pictures[1:], resolution=100)
    return written.getvalue()


def library(scene: Scene, **fields: Any) -> str:
    name = f"scans-{next(_numbers)}"
    scene.account.call("POST", "/api/libraries", 201, name=name, **fields)
    return name


def read(scene: Scene, name: str, pdf: bytes, http: httpx.Client | None = None) -> dict[str, Any]:
    """The document, when nothing is done to it any more."""
    asked = http or scene.http
    answer = asked.post("/documents/ingest", files={"file": ("scan.pdf", pdf)}, data={"library": name})
    assert answer.status_code == 202, answer.text
    end = time.monotonic() + WITHIN
    while True:
        document: dict[str, Any] = asked.get(f"/documents/{answer.json()['id']}").json()
        if document["status"] in ("ready", "failed"):
            return document
        assert time.monotonic() < end, document
        time.sleep(0.1)


def calls_for(account: Account, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The ledger's records of what was asked for a document."""
    end = time.monotonic() + 8
    while True:
        records = [account.record(row["id"]) for row in account.requests(limit=20)]
        found = [each for each in records if each["metadata"].get("gateway_document") == document["id"]]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def test_a_model_reads_what_has_no_text(scene: Scene) -> None:
    scene.behave({"text": SAID})
    document = read(scene, library(scene, ocr=scene.model), scan("Invoice 4711", "Invoice 4711"))
    assert (document["status"], document["notes"]) == ("ready", ["Pages without text were read by OCR: 1-2."])
    asked, second = scene.received()
    content = asked["body"]["messages"][0]["content"]
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert "task" not in asked["body"]
    assert second["body"]["model"] == scene.model
    found = scene.http.post(
        "/documents/search", json={"query": "Who pays the invoice?", "library": document["library"]}
    )
    assert "Henry Winstanley" in found.json()["results"][0]["content"]
    # It is metered as a request of the key that uploaded the document.
    calls = calls_for(scene.account, document)
    assert sorted(call["metadata"]["gateway_document_page"] for call in calls) == ["1", "2"]
    assert {call["key_id"] is not None for call in calls} == {True}
    assert all(call["status"] == 200 and call["prompt_tokens"] > 0 and call["task"] == "ocr" for call in calls)


def test_pages_of_a_strict_library_stay_in_the_house(make_scene: MakeScene) -> None:
    cloud = make_scene(kind="openai")
    cloud.behave({"text": SAID})
    document = read(cloud, library(cloud, ocr=cloud.model, privacy_mode="strict"), scan("Invoice"))
    assert (document["status"], document["error_code"]) == ("failed", "empty")
    assert "Pages without text were left out: 1." in document["error"]
    assert cloud.received() == []
    (call,) = calls_for(cloud.account, document)
    assert (call["status"], call["error_code"], call["cost_usd"]) == (403, "permission_denied", "0")


def test_a_library_that_becomes_strict_keeps_the_pages_that_are_left(make_scene: MakeScene) -> None:
    cloud = make_scene(kind="openai")
    cloud.behave({"text": SAID, "delay": 3.0})
    name = library(cloud, ocr=cloud.model)
    sent = cloud.http.post(
        "/documents/ingest",
        files={"file": ("scan.pdf", scan("Invoice 1", "Invoice 2", "Invoice 3"))},
        data={"library": name},
    ).json()
    end = time.monotonic() + WITHIN
    while not cloud.received():
        assert time.monotonic() < end
        time.sleep(0.05)
    cloud.account.call("PATCH", f"/api/libraries/{sent['library_id']}", 200, privacy_mode="strict")
    while (document := cloud.http.get(f"/documents/{sent['id']}").json())["status"] not in ("ready", "failed"):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert document["notes"] == [
        "Pages without text were read by OCR: 1.", "Pages without text were left out: 2-3.",
    ]  # fmt: skip
    assert len(cloud.received()) == 1


def test_a_new_version_is_read_for_who_uploaded_it(make_scene: MakeScene) -> None:
    cloud = make_scene(kind="openai")
    cloud.behave({"text": SAID})
    name = library(cloud, ocr=cloud.model)
    assert read(cloud, name, scan("First"))["status"] == "ready"
    key = cloud.account.create_key(privacy_mode="strict")
    with httpx.Client(
        base_url=cloud.url, timeout=15, trust_env=False, headers={"authorization": f"Bearer {key['key']}"}
    ) as strict:
        end = time.monotonic() + 5
        while strict.get("/v1/models").status_code == 401:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert read(cloud, name, scan("Second"), strict)["status"] == "failed"
    assert len(cloud.received()) == 1


def test_a_picture_is_read_from_nobody_but_the_installations_own_worker(scene: Scene) -> None:
    for given in ({}, {"authorization": "Bearer forged"}, {"authorization": scene.http.headers["authorization"]}):
        with socket.create_connection((httpx.URL(scene.url).host, httpx.URL(scene.url).port or 80), 5) as client:
            lines = ["POST /documents/pages/text HTTP/1.1", "host: gateway", "content-length: 15000000"]
            lines += [f"{name}: {value}" for name, value in given.items()]
            client.sendall("\r\n".join([*lines, "", ""]).encode())
            # Before a byte of it was sent.
            assert b" 404 " in client.recv(100)


def test_nobody_reads_where_the_library_says_so(scene: Scene) -> None:
    document = read(scene, library(scene, ocr="off"), scan("Nobody reads this"))
    assert (document["status"], document["error_code"]) == ("failed", "empty")
    assert scene.received() == []


def test_what_fails_for_a_moment_is_asked_again_and_what_fails_for_good_is_not(scene: Scene) -> None:
    scene.behave({"status": 429, "headers": {"retry-after": "0"}}, {"status": 429}, {"text": SAID})
    document = read(scene, library(scene, ocr=scene.model), scan("Invoice 1"))
    assert document["status"] == "ready"
    asked = len(scene.received())
    gone = read(scene, library(scene, ocr="no-such-model"), scan("Invoice 2", "Invoice 3"))
    assert gone["status"] == "failed"
    # Of one page, and not of the second.
    assert [call["status"] for call in calls_for(scene.account, gone)] == [404]
    assert len(scene.received()) == asked


def test_an_empty_page_is_empty(scene: Scene) -> None:
    scene.behave({"text": "NO TEXT"}, {"text": "```text\nThe second page.\n```"})
    document = read(scene, library(scene, ocr=scene.model), scan(".", "Second"))
    assert document["notes"] == [
        "Pages without text were read by OCR: 2.", "Pages without text were left out: 1.",
    ]  # fmt: skip


def test_a_budget_holds(priced: Scene) -> None:
    key = priced.account.create_key(budget_usd="0.000000001")
    http = httpx.Client(
        base_url=priced.url, timeout=15, trust_env=False, headers={"authorization": f"Bearer {key['key']}"}
    )
    with http:
        end = time.monotonic() + 5
        while http.get("/v1/models").status_code == 401:
            assert time.monotonic() < end
            time.sleep(0.05)
        document = read(priced, library(priced, ocr=priced.model), scan("Dear page"), http)
    assert document["status"] == "failed"
    assert priced.received() == []
    assert [call["status"] for call in calls_for(priced.account, document)] == [402]


def test_the_console_may_upload_without_a_key(scene: Scene) -> None:
    scene.behave({"text": SAID})
    name = library(scene, ocr=f"{scene.name}/{scene.model}")
    (found,) = [
        each for each in scene.account.http.get("/api/libraries?limit=500").json()["data"] if each["name"] == name
    ]
    answer = scene.account.http.post(f"/api/libraries/{found['id']}/documents", files={"file": ("a.pdf", scan("Mine"))})
    assert answer.status_code in (201, 202), answer.text
    while not scene.received():
        time.sleep(0.1)
    (call,) = calls_for(scene.account, answer.json())
    assert (call["key_id"], call["status"]) == (None, 200)
    assert call["user_id"] is not None


@pytest.mark.parametrize("bearer", [None, "Bearer x", "Bearer eyJ3b3Jrc3BhY2UiOiIifQ:1:x"])
def test_the_workers_door_is_open_to_nobody_else(scene: Scene, bearer: str | None) -> None:
    headers = {} if bearer is None else {"authorization": bearer}
    answer = httpx.post(f"{scene.url}/documents/pages/text", content=b"png", headers=headers, trust_env=False)
    assert answer.status_code == 404
    with_key = scene.http.post("/documents/pages/text", content=b"png")
    assert with_key.status_code == 404
