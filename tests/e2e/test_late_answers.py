"""Answers that arrive after another one has replaced what they were meant for."""

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import Resident


@pytest.fixture
def library(resident: Resident, request: Any) -> Any:
    made = resident.account.call("POST", "/api/libraries", 201, name=request.node.name[:100])
    for title in ("Tides", "Bread"):
        path = f"/api/libraries/{made['id']}/documents"
        resident.account.call("POST", path, 202, title=title, text=f"A note about {title}.")
    return made


class Held:
    """What htmx asks for under `url` first, kept waiting in the browser until it is let go."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.routes: list[Route] = []
        page.route(url, self._hold)

    def _hold(self, route: Route) -> None:
        if self.routes or "hx-request" not in route.request.headers:
            route.continue_()
        else:
            self.routes.append(route)

    def wait(self) -> None:
        """Until it is asked for."""
        while not self.routes:
            self.page.wait_for_timeout(20)

    def let_go(self) -> None:
        """Returns when the page has dealt with the answer."""
        [route] = self.routes
        with self.page.expect_event("requestfinished", lambda request: request == route.request):
            route.continue_()
        self.page.wait_for_timeout(200)  # what a wrong answer changes is changed by then


def add(page: Page, name: str) -> None:
    """Uploads a file, after which the list of documents asks for itself anew."""
    file: Any = {"name": name, "mimeType": "text/plain", "buffer": f"The text of {name}.".encode()}
    page.get_by_label("Choose files").set_input_files([file])


def test_a_list_that_was_filtered_meanwhile_does_not_take_its_former_self(page: Page, library: Any) -> None:
    page.goto(f"/console/libraries/{library['id']}/")
    held = Held(page, f"**/console/libraries/{library['id']}/")
    add(page, "salt.txt")
    held.wait()
    page.get_by_label("Title or source").fill("Tides")
    expect(page.locator("tbody tr")).to_have_count(1)

    held.let_go()

    expect(page.locator("tbody tr")).to_have_count(1)  # and `watch` saw nothing break
    expect(page.locator("tbody")).to_contain_text("Tides")


def test_a_filters_answer_is_shown_although_the_list_was_renewed_meanwhile(page: Page, library: Any) -> None:
    page.goto(f"/console/libraries/{library['id']}/")
    held = Held(page, f"**/console/libraries/{library['id']}/?q=Tides*")
    page.get_by_label("Title or source").fill("Tides")
    held.wait()
    add(page, "salt.txt")
    expect(page.get_by_role("row", name="salt.txt")).to_be_visible()

    held.let_go()

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("Tides")
    expect(page).to_have_url(f"/console/libraries/{library['id']}/?q=Tides")
