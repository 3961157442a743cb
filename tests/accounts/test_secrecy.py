"""Passwords and tokens stay out of logs, error reports, reprs and the admin."""

import logging
import sys

import pytest
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from accounts import services, tokens
from accounts.access import Caller
from accounts.models import ApiSession, User
from accounts.schemas import LogInIn, RefreshIn, SignInOut, SignUpIn
from accounts.workspaces import workspace_created
from tests.api_client import PASSWORD, ApiClient

# Put together at run time: error reports show lines of source, this one's, too.
SECRET = "-".join(("hunter2", "Correct", "Horse", "7"))


def broken(**_: object) -> None:
    raise RuntimeError("a receiver failed")


def test_no_log_line_carries_one(db: None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    api = ApiClient()
    made = api.post("/api/auth/signup", email="ada@example.com", password=SECRET).json
    api.post("/api/auth/login", email="ada@example.com", password=SECRET + "x")
    api.post("/api/auth/login", email="ada@example.com", password=[SECRET])
    api.post("/api/auth/refresh", refresh_token=made["refresh_token"])
    api.post("/api/auth/refresh", refresh_token=made["refresh_token"])
    ApiClient(made["access_token"]).get("/api/auth/me")
    workspace_created.connect(broken)
    try:
        failed = api.post("/api/auth/signup", email="eve@example.com", password=SECRET)
    finally:
        workspace_created.disconnect(broken)

    assert failed.status == 500
    out, err = capfd.readouterr()
    written = caplog.text + out + err
    assert "a receiver failed" in written
    for secret in (SECRET, made["access_token"], made["refresh_token"], User.objects.get().password):
        assert secret not in written
        assert secret not in failed.text


def test_no_error_report_carries_one(db: None) -> None:
    workspace_created.connect(broken)
    try:
        services.sign_up("ada@example.com", SECRET)
    except RuntimeError:
        reporter = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info())
    finally:
        workspace_created.disconnect(broken)

    assert "sign_up" in reporter.get_traceback_text()
    assert SECRET not in reporter.get_traceback_text() + reporter.get_traceback_html()


def test_no_refusal_repeats_what_it_refused(db: None) -> None:
    api = ApiClient()
    answers = [
        api.post("/api/auth/signup", email="ada@example.com", password=[SECRET]),
        api.post("/api/auth/signup", email="ada@example.com", password=SECRET * 100),
        api.post("/api/auth/signup", email=SECRET, password=SECRET),
        api.post("/api/auth/refresh", refresh_token=SECRET),
        api.request("GET", "/api/auth/me", authorization=f"Bearer {SECRET}"),
        api.request("GET", "/api/auth/me", authorization=SECRET),
    ]

    assert {answer.status for answer in answers} == {400, 401}
    assert all(SECRET not in answer.text for answer in answers)


def test_no_repr_carries_one(owner: Caller) -> None:
    pair = tokens.start_session(owner.user)
    objects = [
        SignUpIn.model_validate({"email": "a@example.com", "password": SECRET}),
        LogInIn.model_validate({"email": "a@example.com", "password": SECRET}),
        RefreshIn.model_validate({"refresh_token": pair.refresh}), pair, owner, owner.user, ApiSession.objects.get(),
        SignInOut.of(owner, pair),
    ]  # fmt: skip

    shown = "".join(f"{one!r} {one!s}" for one in objects)

    for secret in (SECRET, pair.access, pair.refresh, owner.user.password):
        assert secret not in shown


def test_no_page_of_the_admin_carries_one(owner: Caller, viewer: Caller) -> None:
    tokens.start_session(viewer.user)
    browser = Client()
    browser.force_login(owner.user)

    pages = [browser.get("/admin/accounts/user/"), browser.get(f"/admin/accounts/user/{viewer.user.pk}/change/")]

    assert [page.status_code for page in pages] == [200, 200]
    digest = viewer.user.password.rpartition("$")[2]
    assert all(digest not in page.content.decode() for page in pages)


def test_the_admin_is_for_staff(viewer: Caller) -> None:
    browser = Client()
    browser.force_login(viewer.user)

    assert browser.get("/admin/accounts/user/").status_code == 302


def test_a_password_is_not_kept_as_it_is(db: None) -> None:
    user, _ = services.sign_up("ada@example.com", PASSWORD)

    assert PASSWORD not in str(User.objects.filter(pk=user.pk).values())
