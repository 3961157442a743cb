"""A policy's page: a prompt shows at once where it would go, and so does each change of the draft."""

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Resident


def test_typing_a_prompt_shows_where_it_would_go(page: Page, resident: Resident) -> None:
    page.goto(f"/console/routing/policies/{resident.policy['id']}/")
    page.get_by_label("A prompt").press_sequentially("Prove that there are infinitely many primes.", delay=5)

    result = page.locator("#result")
    expect(result.get_by_role("table")).to_contain_text("demo")
    expect(result).to_contain_text("Goes to")
    expect(page.get_by_label("A prompt")).to_be_focused()


def test_a_change_of_the_draft_shows_at_once(page: Page) -> None:
    page.goto("/console/routing/policies/new/")
    page.get_by_label("A prompt").fill("Hello")
    expect(page.locator("#result")).to_contain_text("Goes to demo/demo")

    page.get_by_label("Cost", exact=True).fill("-1")
    expect(page.locator("#result")).to_contain_text("cannot be used: Cost")
    page.get_by_label("Cost", exact=True).fill("1")
    page.get_by_label("Models to choose from").fill("nobody/has-this")

    expect(page.locator("#result")).to_contain_text("nowhere")


def test_a_policy_is_made_changed_and_rolled_back(page: Page) -> None:
    page.goto("/console/routing/policies/new/")
    page.get_by_label("Name", exact=True).fill("By hand")
    page.get_by_role("button", name="Create policy").click()
    expect(page.get_by_role("status")).to_contain_text("By hand is in force.")

    page.get_by_label("Cost", exact=True).fill("90")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_role("status")).to_contain_text("Version 2 is in force.")
    page.get_by_role("button", name="Roll back to version 1").click()

    expect(page.get_by_role("status")).to_contain_text("Version 3 is in force")
    expect(page.get_by_label("Cost", exact=True)).to_have_value("40")
