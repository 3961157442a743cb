"""Where a form can do it, a page needs no scripts."""

from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Resident, Watch
from tests.gateway.process import Process


def test_logging_in(chromium: Browser, gateway: Process, resident: Resident, watch: Watch) -> None:
    context = chromium.new_context(base_url=gateway.url, java_script_enabled=False)
    page = context.new_page()
    watch.over(page)
    page.goto("/console/keys/")
    page.get_by_label("E-mail").fill(resident.account.email)
    page.get_by_label("Password").fill(resident.account.password)
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("heading", name="Gateway keys")).to_be_visible()
    context.close()


def test_creating_a_key(plain_page: Page) -> None:
    page = plain_page
    page.goto("/console/keys/new/")
    page.get_by_label("Name").fill("no scripts")
    page.get_by_role("button", name="Create key").click()

    expect(page.get_by_role("heading", name="no scripts is ready")).to_be_visible()
    assert page.locator("#secret").inner_text().startswith("gw_")
    for language in ("curl", "Python", "JavaScript"):
        expect(page.get_by_role("heading", name=language, exact=True)).to_be_visible()


def test_adding_and_removing_a_provider(plain_page: Page) -> None:
    page = plain_page
    page.goto("/console/providers/new/")
    page.get_by_role("link", name="vLLM").click()
    page.get_by_label("Name").fill("plain")
    page.get_by_label("Address").fill("http://127.0.0.1:9")
    page.get_by_role("button", name="Add vLLM").click()
    expect(page.get_by_role("heading", name="plain")).to_be_visible()
    page.get_by_role("button", name="Test plain").click()
    expect(page.get_by_role("alert")).to_contain_text("refused")

    page.get_by_role("link", name="Remove…").click()
    expect(page.get_by_role("heading", name="Remove plain?")).to_be_visible()
    page.get_by_role("button", name="Remove provider").click()
    expect(page.get_by_text("plain is removed.")).to_be_visible()


def test_filtering_requests(plain_page: Page) -> None:
    page = plain_page
    page.goto("/console/requests/")
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Filter").click()

    expect(page.locator("tbody tr")).to_have_count(1)


def test_choosing_a_theme(plain_page: Page) -> None:
    page = plain_page
    page.goto("/console/account/")
    page.locator("main").get_by_role("button", name="Dark").click()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert page.url.endswith("/console/account/")
