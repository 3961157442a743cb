"""A library in a real browser: files that are picked, their way to being searchable, and what is found in them."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Resident

# The embedding worker may have to load its model first.
READY_MS = 90_000


@pytest.fixture
def library(resident: Resident, request: Any) -> Any:
    return resident.account.call("POST", "/api/libraries", 201, name=request.node.name[:100])


def file(name: str, text: str) -> Any:
    return {"name": name, "mimeType": "text/plain", "buffer": text.encode()}


def test_files_are_uploaded_read_and_found(page: Page, library: Any) -> None:
    page.goto(f"/console/libraries/{library['id']}/")
    page.get_by_label("Choose files").set_input_files(
        [file("tides.txt", "Tides follow the moon, twice a day."), file("bread.txt", "Bread needs flour, water, salt.")]
    )

    expect(page.locator("#queue-summary")).to_have_text("2 of 2 files uploaded")
    expect(page.get_by_role("row", name="tides.txt")).to_contain_text("Ready", timeout=READY_MS)
    expect(page.get_by_role("row", name="bread.txt")).to_contain_text("Ready", timeout=READY_MS)
    expect(page.locator("#under-way")).to_have_text(re.compile("^\\s*2 ready"))
    expect(page.locator("#under-way[hx-trigger]")).to_have_count(0)

    page.get_by_role("link", name="Search in it").click()
    page.get_by_label("Question or words").fill("when does the sea rise")
    page.get_by_role("button", name="Search").click()
    first = page.locator(".passages > li").first
    expect(first).to_contain_text("Tides follow the moon")
    first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Text", exact=True)).to_be_visible()
    expect(page.locator("#chunk-0")).to_contain_text("twice a day")


def test_two_hundred_files_stay_usable_and_each_says_how_it_fared(page: Page, library: Any) -> None:
    page.goto(f"/console/libraries/{library['id']}/")
    # A page that freezes draws nothing for as long.
    page.evaluate(
        """() => {
            window.longest = 0;
            let last = performance.now();
            const tick = now => {
                window.longest = Math.max(window.longest, now - last);
                last = now;
                requestAnimationFrame(tick);
            };
            requestAnimationFrame(tick);
        }"""
    )
    page.get_by_label("Choose files").set_input_files(
        [file(f"note {number}.txt", f"Note number {number}.") for number in range(199)] + [file("empty.txt", "")]
    )

    expect(page.locator("#queue-list > li")).to_have_count(200)
    page.get_by_label("Title or source").fill("note")  # there is something to do meanwhile
    expect(page.locator("#queue-summary")).to_have_text(
        "199 of 200 files uploaded; 1 file could not be", timeout=READY_MS
    )
    expect(page.locator("#queue-list > li", has_text="empty.txt")).to_contain_text("The file is empty.")
    expect(page.get_by_label("Title or source")).to_have_value("note")
    assert page.evaluate("window.longest") < 1500


def test_what_is_dropped_is_taken_without_litter(page: Page, library: Any) -> None:
    page.goto(f"/console/libraries/{library['id']}/")
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["A dropped text."], "dropped.txt", {type: "text/plain"}));
            transfer.items.add(new File(["x"], ".DS_Store"));
            const drop = new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: transfer});
            document.getElementById("upload").dispatchEvent(drop);
        }"""
    )

    expect(page.locator("#queue-summary")).to_have_text("1 of 1 file uploaded")
    expect(page.get_by_role("row", name="dropped.txt")).to_be_visible()


def test_rows_that_are_ticked_are_deleted_after_a_question(page: Page, resident: Resident, library: Any) -> None:
    for number in range(3):
        path = f"/api/libraries/{library['id']}/documents"
        resident.account.call("POST", path, 202, title=f"Note {number}", text=f"Note number {number}.")
    page.goto(f"/console/libraries/{library['id']}/")
    page.get_by_label("Note 0", exact=True).check()
    page.get_by_label("Note 1", exact=True).check()
    expect(page.get_by_text("2 ticked")).to_be_visible()
    page.get_by_role("button", name="Delete…").click()

    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete 2 documents?")
    dialog.get_by_role("button", name="Delete documents").click()
    expect(page.get_by_role("status").filter(has_text="2 documents are deleted")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_without_scripts(plain_page: Page, library: Any) -> None:
    page = plain_page
    page.goto(f"/console/libraries/{library['id']}/")
    page.locator("#id_file").set_input_files([file("plain.txt", "Plain text.")])
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("plain.txt is on its way.")).to_be_visible()

    page.get_by_role("checkbox", name="plain.txt").check()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete documents").click()
    expect(page.get_by_text("1 document is deleted.")).to_be_visible()
