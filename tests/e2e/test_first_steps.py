"""From nothing to the first answer, as a stranger with a browser and the OpenAI SDK."""

import subprocess
import sys

from openai import OpenAI
from playwright.sync_api import Page, expect

from tests.gateway.account import Account
from tests.gateway.process import Process


def test_a_stranger_gets_a_first_answer(visitor: Page, gateway: Process) -> None:
    page = visitor
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    page.goto("/")
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("E-mail").fill("grace@example.com")
    page.get_by_label("Name").fill("Grace")
    page.get_by_label("Password").fill("Correct-Horse-7-Battery")
    page.get_by_role("button", name="Create account").click()

    expect(page.get_by_role("heading", name="Get started")).to_be_visible()
    page.get_by_role("button", name="Use the demo provider").click()
    expect(page.get_by_text("demo is enabled.")).to_be_visible()

    page.get_by_role("link", name="Create a key").click()
    page.get_by_label("Name").fill("first app")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", name="first app is ready")).to_be_focused()
    page.get_by_role("tab", name="Python").click()
    page.locator(".snippets").get_by_role("button", name="Copy").click()
    expect(page.locator("#live")).to_have_text("Snippet copied.")
    snippet = page.evaluate("navigator.clipboard.readText()")
    page.locator("section", has_text="Copy the secret now").get_by_role("button", name="Copy").click()
    expect(page.locator("#live")).to_have_text("Secret copied.")
    secret = page.evaluate("navigator.clipboard.readText()")
    assert f'base_url="{gateway.url}/v1"' in snippet
    assert f'api_key="{secret}"' in snippet

    page.reload()  # shows the key's page; it neither asks for the secret again nor shows it
    expect(page.get_by_role("heading", name="first app", exact=True)).to_be_visible()
    assert secret not in page.content()

    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.get_by_text("Waiting for the first request")).to_be_visible()
    answer = OpenAI(base_url=f"{gateway.url}/v1", api_key=secret).chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "Hello!"}]
    )
    assert "[demo]" in (answer.choices[0].message.content or "")

    page.get_by_role("link", name="See the request").click()  # came by itself
    expect(page.get_by_role("heading", name="demo")).to_be_visible()
    assert answer.usage
    expect(page.locator(".figures > div", has_text="Tokens out")).to_contain_text(str(answer.usage.completion_tokens))
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.get_by_role("heading", name="Latest requests")).to_be_visible()


def test_the_printed_snippet_runs(visitor: Page, gateway: Process) -> None:
    """The Python snippet is a program: what it prints is the answer."""
    account = Account(gateway.url, "snippet")
    account.add_provider(kind="demo", name="demo")
    page = visitor
    page.goto("/console/login/")
    page.get_by_label("E-mail").fill(account.email)
    page.get_by_label("Password").fill(account.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Get started")).to_be_visible()
    page.goto("/console/keys/new/")
    page.get_by_label("Name").fill("snippet")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("tab", name="Python").click()

    program = page.locator("[data-tab=Python] code").inner_text()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert "[demo]" in done.stdout, done.stderr
