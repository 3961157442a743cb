"""A real Chromium in front of the product as its operator runs it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

from tests.gateway.account import Account
from tests.gateway.process import Process, supervisor
from tests.keys.server import Server

# The shell without a browser's own windows renders a page with half the work.
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), "")
ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
# Chromium and htmx log every answer of 400 or more; those that a test asks for are no defect of the page.
ANSWERED = ("Failed to load resource: the server responded with a status of 4", "Response Status Error Code 4")


@dataclass
class Resident:
    """Somebody with a workspace that has a bit of everything, and their login."""

    account: Account
    state: Any
    demo: dict[str, Any]
    broken: dict[str, Any]
    key: dict[str, Any]
    revoked: dict[str, Any]
    policy: dict[str, Any]
    webhook: dict[str, Any]
    library: dict[str, Any]
    document: dict[str, Any]
    member: str
    answered: str
    failed: str


@dataclass
class Watch:
    """What went wrong on a page without anybody noticing."""

    origin: str
    problems: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(ANSWERED):
            self.problems.append(f"console: {message.text}")

    def _request(self, url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(self.origin):
            self.problems.append(f"left the gateway for {url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.problems.append(f"{response.status} from {response.url}")


@pytest.fixture(scope="session")
def gateway() -> Iterator[Process]:
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        process = supervisor(Path(directory))
        process.wait_until_ready()
        yield process
        process.stop()


# Not for the whole session: the loop that Playwright keeps running would be in the way of other tests.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def resident(gateway: Process) -> Resident:
    account = Account(gateway.url, "resident")
    broken = account.add_provider(kind="vllm", name="rack", base_url="http://127.0.0.1:9", api_key="sk-0123456789")
    demo = account.add_provider(kind="demo", name="demo")
    key = account.create_key(
        name="Support chatbot", budget_usd="0.000002", budget_period="month", rate_limit_requests=90
    )
    revoked = account.create_key(name="Old job")
    account.call("DELETE", f"/api/keys/gateway/{revoked['id']}", 204)
    policy = account.call(
        "POST", "/api/routing/policies", 201, name="At home", privacy_mode="strict", weights={"cost": 1, "quality": 2}
    )
    webhook = account.call("POST", "/api/webhooks", 201, url="http://127.0.0.1:9/hook")
    account.call("POST", f"/api/webhooks/{webhook['id']}/test", 200)
    library = account.call("POST", "/api/libraries", 201, name="Handbook", privacy_mode="strict")
    document = account.call(
        "POST", f"/api/libraries/{library['id']}/documents", 202, title="Moon", text="# The moon\n\nThe moon is far."
    )
    with Server() as receiver:  # says that it is gone for good, which is an event
        receiver.respond("/hook", lambda: web.Response(status=410))
        gone = account.call("POST", "/api/webhooks", 201, url=f"{receiver.url}/hook")
        account.call("POST", f"/api/webhooks/{gone['id']}/test", 200)
    workspace = f"/api/workspaces/{account.workspace['id']}"
    member = account.call("GET", f"{workspace}/members", 200)["data"][0]["id"]
    account.call("PATCH", f"{workspace}/members/{member}", 200, budget_usd="25", rate_limit_tokens=100_000)
    account.call("PATCH", workspace, 200, budget_usd="100", budget_period="month")
    ids = []
    for model in ("auto", "nobody/has-this"):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
        headers = {"authorization": f"Bearer {key['key']}"}
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, trust_env=False)
        ids.append(answer.headers["x-request-id"])
    answered, failed = (account.record(id)["id"] for id in ids)
    state = _logged_in(gateway.url, account)
    return Resident(
        account, state, demo, broken, key, revoked, policy, webhook, library, document, member, answered, failed
    )


def _logged_in(url: str, account: Account) -> Any:
    """A session's cookie, for a browser's context, without a visit to the login page."""
    with httpx.Client(base_url=url, trust_env=False) as http:
        page = http.get("/console/login/")
        token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        form = {"email": account.email, "password": account.password, "csrfmiddlewaretoken": token}
        answer = http.post("/console/login/", data=form)
        assert answer.status_code == 303, answer.text
        host = urlsplit(url).hostname
        cookies = [{"name": name, "value": value, "domain": host, "path": "/"} for name, value in http.cookies.items()]
    return {"cookies": cookies, "origins": []}


def _open(browser: Browser, url: str, watch: Watch, **options: Any) -> tuple[BrowserContext, Page]:
    context = browser.new_context(base_url=url, locale="en-GB", timezone_id="Europe/Vienna", **options)
    context.set_default_timeout(10_000)
    page = context.new_page()
    watch.over(page)
    return context, page


@pytest.fixture
def watch(gateway: Process) -> Iterator[Watch]:
    """Fails the test when a page logged an error, broke its policy, failed, or asked another host for anything."""
    watching = Watch(gateway.url)
    yield watching
    assert watching.problems == []


@pytest.fixture
def visitor(chromium: Browser, gateway: Process, watch: Watch) -> Iterator[Page]:
    """A page of somebody who is not logged in."""
    context, page = _open(chromium, gateway.url, watch)
    yield page
    context.close()


@pytest.fixture
def page(chromium: Browser, gateway: Process, resident: Resident, watch: Watch) -> Iterator[Page]:
    """A page of the resident."""
    context, page = _open(chromium, gateway.url, watch, storage_state=resident.state)
    yield page
    context.close()


@pytest.fixture
def plain_page(chromium: Browser, gateway: Process, resident: Resident, watch: Watch) -> Iterator[Page]:
    """A page of the resident, whose browser runs no scripts."""
    context, page = _open(chromium, gateway.url, watch, storage_state=resident.state, java_script_enabled=False)
    yield page
    context.close()
