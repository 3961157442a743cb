"""The page of analytics in a real browser: charts are drawn, filters work in place, tables need no scripts."""

import re

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Resident

DRAWN = """id => {
    const canvas = document.getElementById(id);
    return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].some(byte => byte);
}"""
COLOUR = 'Chart.getChart("chart-requests").data.datasets[0].backgroundColor'
CHARTS = ("cost", "requests", "tokens", "latency", "errors", "saved", "by-cost")


def test_charts_are_drawn_in_the_themes_colours(page: Page) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto("/console/analytics/")
    for chart in CHARTS:
        expect(page.locator(f"#chart-{chart}")).to_be_visible()
        page.wait_for_function(DRAWN, arg=f"chart-{chart}")
    light = page.evaluate(COLOUR)

    page.emulate_media(color_scheme="dark")

    page.wait_for_function(f"light => {COLOUR} !== light", arg=light)


def test_a_filter_works_in_place_and_says_what_it_found(page: Page) -> None:
    page.goto("/console/analytics/")
    page.locator("#id_model").select_option("demo")

    expect(page.locator("#live")).to_have_text(re.compile(r"^\d+ requests?, \$0, 0 not answered\.$"))
    expect(page).to_have_url(re.compile(r"[?&]model=demo\b"))
    page.wait_for_function(DRAWN, arg="chart-requests")
    page.go_back()
    expect(page.locator("#id_model")).to_have_value("")


def test_groups_are_chosen_by_keyboard_and_kept_by_the_filters(page: Page, resident: Resident) -> None:
    page.goto("/console/analytics/")
    page.get_by_role("link", name="Key", exact=True).focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="By key")).to_be_visible()
    expect(page.get_by_role("link", name="Key", exact=True)).to_be_focused()
    page.get_by_role("link", name="Requests", exact=True).last.click()
    expect(page.locator("#chart-by-requests")).to_be_visible()
    page.locator("#id_key").select_option(resident.key["id"])
    expect(page).to_have_url(re.compile("by=key.*measure=requests"))
    expect(page.locator("section[aria-labelledby=groups-title] tbody tr")).to_have_count(1)


def test_without_scripts_and_on_paper_there_are_tables(plain_page: Page) -> None:
    page = plain_page
    page.goto("/console/analytics/")
    expect(page.locator("canvas").first).to_be_hidden()
    expect(page.get_by_role("table")).to_have_count(2)
    page.locator("#id_provider").select_option("demo")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("provider=demo"))

    page.emulate_media(media="print")

    expect(page.get_by_role("table")).to_have_count(2)
    expect(page.get_by_role("navigation", name="Console")).to_be_hidden()


def test_requests_can_be_saved_as_a_table(page: Page, resident: Resident) -> None:
    page.goto("/console/requests/?status=failed")
    with page.expect_download() as started:
        page.get_by_role("link", name="Export CSV").click()

    text = started.value.path().read_text()
    assert started.value.suggested_filename == "requests.csv"
    assert resident.failed in text
    assert resident.answered not in text
