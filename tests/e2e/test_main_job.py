"""The main job, as a stranger does it: a fresh copy of the repository, `make run`, and what the pages say.

Once with uvicorn and once with daphne. Nothing is given but PORT, and nothing is left behind after Ctrl-C.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import OpenAI
from playwright.sync_api import Browser, Page, expect

from tests.gateway.account import Account
from tests.gateway.process import ROOT, free_port
from tests.upstream import Upstream

MODEL = "gpt-4o-mini"
# What the upstream says it used, and that at gpt-4o-mini's price: 0.15 and 0.60 dollars per million tokens.
TOKENS = (7, 3)
COST = Decimal("0.00000285")
START_SECONDS = 60.0
STOP_SECONDS = 10.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Installation:
    """A copy of the repository in which somebody typed `make run`."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.port = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            ["make", "run", *self._reused_environment()],
            cwd=folder,
            env={**kept, "PORT": str(self.port), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # as a terminal's foreground job: one group, which Ctrl-C reaches
        )
        self.output = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @staticmethod
    def _reused_environment() -> list[str]:
        """The environment that runs these tests is the one that `make run` would build."""
        stamps = [f"{sys.prefix}/.run-{hardware}" for hardware in ("cpu", "cuda")]
        return [f"VENV={sys.prefix}", *(f"--old-file={stamp}" for stamp in stamps)]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def printed_url(self) -> str:
        """The console's address, which it prints when it is ready."""
        end = time.monotonic() + START_SECONDS
        while not (found := re.search(r"http://\S+", self.output)):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, f"no URL after {START_SECONDS} s: {self.output}"
            time.sleep(0.05)
        return found[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """Everything that `make run` started: its descendants, and what names this folder (Postgres has left them)."""
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        return descendants + [process for process in self.residents() if process not in descendants]

    def residents(self) -> list[psutil.Process]:
        """The processes that name this folder in their command."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.folder) in argument for argument in process.info["cmdline"] or [])
        ]

    def press_ctrl_c(self) -> None:
        """Fails when anything that ran is still there ten seconds later."""
        running = self.processes()
        assert len(running) >= 4, running  # the supervisor, the web process, the worker, Postgres
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(running, timeout=STOP_SECONDS)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
        assert self.residents() == []


def copy_repository(folder: Path) -> None:
    """Copy what a clone would hold, as it stands in the working tree: a file that nobody added is missing."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("clone")
    copy_repository(folder)
    running = Installation(folder, SERVER=request.param)
    try:
        running.printed_url()
        yield running
        running.press_ctrl_c()
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        running.serve([MODEL])
        yield running


@pytest.fixture(autouse=True)
def output(installation: Installation) -> Iterator[None]:
    """What it printed during a test is shown when the test fails."""
    before = len(installation.output)
    yield
    sys.stdout.write(installation.output[before:][-4000:])


@pytest.fixture
def stranger(chromium: Browser, installation: Installation) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def run_snippet(program: str, *command: str) -> str:
    """What a shown snippet prints, run as it is."""
    done = subprocess.run([*command, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask_streamed(url: str, secret: str) -> tuple[str, str]:
    """A streamed answer's text and its request's id."""
    client = OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0, timeout=20)
    stream = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello!"}], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    return text, stream.response.headers["x-request-id"]


def check_rows(rows: list[dict[str, Any]], requests: int) -> None:
    """The ledger holds `requests` requests to the model, each with its tokens and its cost."""
    assert len(rows) == requests, rows
    for row in rows:
        assert (row["status"], row["model"]) == (200, MODEL)
        assert (row["prompt_tokens"], row["completion_tokens"]) == TOKENS
        assert Decimal(row["cost_usd"]) == COST


def wait_for_rows(http: httpx.Client, requests: int) -> list[dict[str, Any]]:
    end = time.monotonic() + 10
    while True:
        rows: list[dict[str, Any]] = http.get("/api/analytics/requests").json()["data"]
        if len(rows) >= requests or time.monotonic() > end:
            return rows
        time.sleep(0.1)


def test_with_the_api(installation: Installation, upstream: Upstream) -> None:
    url = installation.url
    account = Account(url)
    provider = account.add_provider(kind="openai", name="cloud", base_url=upstream.url, api_key="sk-upstream-secret")
    checked = account.call("POST", f"/api/keys/providers/{provider['id']}/test", 200)
    assert (checked["ok"], checked["models"]) == (True, [MODEL])
    secret = account.create_key()["key"]

    client = OpenAI(base_url=f"{url}/v1", api_key=secret, timeout=20)
    answer = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello!"}])
    text, request_id = ask_streamed(url, secret)

    assert answer.choices[0].message.content == text == "word 0 word 1 word 2 "
    assert account.record(request_id)["stream"] is True
    check_rows(wait_for_rows(account.http, 2), 2)


def test_with_a_browser(installation: Installation, upstream: Upstream, stranger: Page) -> None:
    page, email = stranger, "ada@example.com"
    page.goto(installation.printed_url())
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("Correct-Horse-7-Battery")
    page.get_by_role("button", name="Create account").click()

    page.get_by_role("link", name="Add another provider").click()
    page.get_by_role("link", name=re.compile("^OpenAI(?!-)")).click()
    page.get_by_label("API key").fill("sk-upstream-secret")
    page.get_by_text("More settings").click()
    page.get_by_label("Address").fill(upstream.url)
    page.get_by_role("button", name="Add OpenAI", exact=True).click()
    expect(page.get_by_text(MODEL).first).to_be_visible()

    page.goto(f"{installation.url}/console/keys/new/")
    page.get_by_label("Name").fill("first app")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("tab", name="Python").click()
    python = page.locator("[data-tab=Python] code").inner_text()
    page.get_by_role("tab", name="curl").click()
    curl = page.locator("[data-tab=curl] code").inner_text()

    assert run_snippet(python, sys.executable, "-c").strip() == "word 0 word 1 word 2"
    assert '"content":"word 0 word 1 word 2 "' in run_snippet(curl, "bash", "-c")
    text, request_id = ask_streamed(installation.url, secret)
    assert text == "word 0 word 1 word 2 "

    with httpx.Client(base_url=installation.url, trust_env=False) as http:
        login = http.post("/api/auth/login", json={"email": email, "password": "Correct-Horse-7-Battery"}).json()
        http.headers["authorization"] = f"Bearer {login['access_token']}"
        check_rows(wait_for_rows(http, 3), 3)

    page.goto(f"{installation.url}/console/requests/")
    rows = page.get_by_role("table", name="Requests, newest first").get_by_role("row")
    expect(rows).to_have_count(4)  # the head is one
    expect(rows.nth(1)).to_contain_text(MODEL)
    expect(rows.nth(1)).to_contain_text("streamed")
    expect(rows.nth(1)).to_contain_text("{} / {}".format(*TOKENS))
    expect(rows.nth(1)).to_contain_text(f"{COST:f}")
    rows.nth(1).get_by_role("link").click()
    expect(page.locator("#request-id")).to_have_text(request_id)
    expect(page.get_by_text(f"{COST:f}").first).to_be_visible()
