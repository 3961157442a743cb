"""Where the focus goes, what is announced, and what works from the keyboard alone."""

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Resident


def test_a_refused_form_focuses_its_first_wrong_field(page: Page) -> None:
    page.goto("/console/keys/new/")
    page.get_by_role("button", name="Create key").click()

    name = page.get_by_label("Name")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    described = (name.get_attribute("aria-describedby") or "").split()
    assert any("required" in page.locator(f"#{id}").inner_text() for id in described)


def test_a_refused_login_is_announced(visitor: Page) -> None:
    visitor.goto("/console/login/")
    visitor.get_by_label("E-mail").fill("nobody@example.com")
    visitor.get_by_label("Password").fill("wrong")
    visitor.keyboard.press("Enter")

    expect(visitor.get_by_role("alert")).to_be_focused()
    expect(visitor.get_by_role("alert")).to_contain_text("E-mail address or password is wrong.")


def test_choosing_a_kind_moves_to_its_form(page: Page) -> None:
    page.goto("/console/providers/new/")
    page.get_by_role("link", name="vLLM").click()

    expect(page.get_by_role("heading", name="Add vLLM")).to_be_focused()
    assert page.url.endswith("?kind=vllm")
    page.go_back()
    expect(page.get_by_role("heading", name="What do you want to add?")).to_be_visible()


def test_a_tests_result_is_focused_and_announced(page: Page, resident: Resident) -> None:
    page.goto(f"/console/providers/{resident.broken['id']}/")
    page.get_by_role("button", name="Test rack").click()

    expect(page.locator("#test-result .note")).to_be_focused()
    expect(page.locator("#live")).to_contain_text("The provider does not answer")


def test_filtering_keeps_the_focus_and_says_what_it_found(page: Page) -> None:
    page.goto("/console/requests/")
    page.get_by_label("Status").focus()
    page.get_by_label("Status").select_option("failed")

    expect(page.locator("#live")).to_have_text("1 request.")
    expect(page.get_by_label("Status")).to_be_focused()
    assert page.url.endswith("/console/requests/?status=failed")
    page.reload()
    expect(page.get_by_label("Status")).to_have_value("failed")


def test_typing_a_model_filters(page: Page) -> None:
    page.goto("/console/requests/")
    page.get_by_label("Model").press_sequentially("nobody")

    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("?model=nobody")


def test_typing_and_pressing_filter_asks_once(page: Page) -> None:
    page.goto("/console/requests/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "model=nobody" in request.url else None)
    page.get_by_label("Model").fill("nobody")
    page.get_by_role("button", name="Filter").click()

    expect(page.locator("tbody tr")).to_have_count(1)
    page.wait_for_timeout(700)  # longer than any trigger waits
    assert len(asked) == 1


def test_a_new_keys_name_has_the_focus(page: Page) -> None:
    page.goto("/console/keys/new/")
    expect(page.get_by_label("Name")).to_be_focused()


def test_the_dialog_holds_and_returns_the_focus(page: Page, resident: Resident) -> None:
    page.goto(f"/console/keys/{resident.key['id']}/")
    opener = page.get_by_role("link", name="Revoke…")
    opener.focus()
    page.keyboard.press("Enter")

    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_have_accessible_name("Revoke Support chatbot?")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_the_console_works_from_the_keyboard_alone(page: Page) -> None:
    page.goto("/console/keys/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Create key")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys/new/")

    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by keyboard is ready")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".secret").get_by_role("button", name="Copy")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Python")).to_be_visible()
    expect(page.get_by_role("tabpanel", name="curl")).to_be_hidden()


def test_a_menu_closes_on_escape(page: Page) -> None:
    page.goto("/console/account/")
    menu = page.locator("details.user-menu > summary")
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Account", exact=True)).to_be_focused()
    page.keyboard.press("Escape")

    expect(page.get_by_role("link", name="Account", exact=True)).to_be_hidden()
    expect(menu).to_be_focused()
