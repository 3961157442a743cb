"""What changes in place: theme, times, toasts, and what happens when the gateway or the session is gone."""

import re

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Resident, Watch


def test_the_theme_changes_in_place_and_stays(page: Page) -> None:
    page.goto("/console/account/")
    page.locator("main").get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(page.locator("main").get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")

    raw = page.request.get("/console/account/").text()

    assert 'data-bs-theme="dark"' in raw  # from the server: nothing can flash


def test_the_system_decides_unless_told_otherwise(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto("/console/account/")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


def test_times_are_the_readers_own_with_utc_in_the_title(page: Page, resident: Resident) -> None:
    page.goto(f"/console/requests/{resident.answered}/")
    moment = page.locator("main time").first

    title = moment.get_attribute("title") or ""
    utc = re.search(r"(\d\d):(\d\d):\d\d UTC$", title)
    assert utc
    # Vienna is one or two hours ahead of UTC.
    hours = {f"{(int(utc[1]) + offset) % 24:02}:{utc[2]}" for offset in (1, 2)}
    assert any(hour in moment.inner_text() for hour in hours)


def test_a_test_from_the_list_answers_with_a_toast(page: Page) -> None:
    page.goto("/console/providers/")
    page.get_by_role("button", name="Test rack").click()
    expect(page.get_by_role("alert")).to_contain_text("refused")
    page.get_by_role("alert").get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_have_count(0)

    page.get_by_role("button", name="Test demo").click()
    expect(page.get_by_role("status")).to_contain_text("demo answers")


def test_an_object_that_is_gone_is_said_in_a_toast(page: Page, resident: Resident) -> None:
    provider = resident.account.add_provider(kind="demo", name="short-lived")
    page.goto(f"/console/providers/{provider['id']}/")
    resident.account.call("DELETE", f"/api/keys/providers/{provider['id']}", 204)

    page.get_by_role("button", name="Test short-lived").click()

    expect(page.get_by_role("alert")).to_contain_text("There is nothing at this address")


def test_a_gateway_that_is_away_is_said_in_a_toast(page: Page, watch: Watch) -> None:
    page.goto("/console/providers/")
    page.context.set_offline(True)
    page.get_by_role("button", name="Test rack").click()

    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    watch.problems.clear()  # Chromium logs that it is offline


def test_an_expired_session_leads_to_the_login_and_back(page: Page, resident: Resident) -> None:
    page.goto("/console/requests/")
    page.context.clear_cookies()
    page.get_by_label("Status").select_option("failed")

    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("E-mail").fill(resident.account.email)
    page.get_by_label("Password").fill(resident.account.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Requests")).to_be_visible()


def test_no_page_is_kept_in_the_browsers_storage(page: Page) -> None:
    page.goto("/console/providers/new/")
    page.get_by_role("link", name="Ollama").click()
    expect(page.get_by_role("heading", name="Add Ollama")).to_be_visible()

    kept = page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage)]")
    assert kept == ["/console/providers/new/?kind=ollama"]  # htmx's note of where it is
