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


def test_a_disabled_form_has_the_stored_policy_tried(page: Page, resident: Resident) -> None:
    page.goto(f"/console/routing/policies/{resident.policy['id']}/")
    # As it is for a viewer.
    page.evaluate("document.querySelector('#policy-form fieldset').disabled = true")

    with page.expect_request("**/preview/") as asked:
        page.get_by_label("A prompt").fill("Hello")

    sent = asked.value.post_data or ""
    assert f"policy={resident.policy['id']}" in sent
    assert "cost=" not in sent
    expect(page.locator("#result")).to_contain_text("Goes to")


def test_the_fold_stays_open_over_what_is_wrong_in_it(page: Page) -> None:
    page.goto("/console/routing/policies/new/")
    page.get_by_label("Name", exact=True).fill("Never")
    page.get_by_text("Models for a task, timeouts").click()
    page.get_by_label("In all").fill("0")
    page.get_by_role("button", name="Create policy").click()

    expect(page.get_by_text("Must be above 0.")).to_be_visible()
    expect(page.get_by_label("In all")).to_be_focused()


def test_the_health_board_is_asked_for_again_without_a_complaint(page: Page) -> None:
    page.goto("/console/routing/health/")

    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        pass

    expect(page.locator("#board")).to_contain_text("demo")


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
