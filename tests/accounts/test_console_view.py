"""Who sees a console page, in which workspace."""

import pytest
from django.test import Client

from accounts.access import Caller
from accounts.models import Membership, User, Workspace

pytestmark = pytest.mark.urls("tests.accounts.pages")


def browser_of(caller: Caller, workspace: Workspace | None = None) -> Client:
    client = Client()
    client.force_login(caller.user)
    if workspace is not None:
        assert client.post("/switch/", {"workspace": str(workspace.pk)}).status_code == 200
    return client


def test_the_page_knows_its_caller_and_is_not_cached(owner: Caller) -> None:
    answer = browser_of(owner).get("/page/one/")

    assert answer.json() == {"workspace": str(owner.workspace.pk), "role": "owner", "name": "one"}
    assert "no-store" in answer["cache-control"]


def test_without_a_login_it_leads_to_the_login_page_and_back(client: Client, db: None) -> None:
    assert client.get("/page/?limit=5&q=a b")["location"] == "/login/?next=%2Fpage%2F%3Flimit%3D5%26q%3Da%2520b"
    assert client.post("/page/")["location"] == "/login/"


def test_htmx_is_told_to_leave_the_page(client: Client, db: None) -> None:
    headers = {"hx-request": "true", "hx-current-url": "http://testserver/page/?limit=5"}

    answer = client.post("/admins/", headers=headers)

    assert answer["hx-redirect"] == "/login/?next=%2Fpage%2F%3Flimit%3D5"
    assert "location" not in answer


@pytest.mark.parametrize("elsewhere", ["https://evil.example/page/", "javascript:alert(1)", ""])
def test_htmx_is_led_back_to_this_site_alone(client: Client, db: None, elsewhere: str) -> None:
    answer = client.get("/page/", headers={"hx-request": "true", "hx-current-url": elsewhere})

    assert answer["hx-redirect"] == "/login/"


def test_who_is_switched_off_is_logged_out(owner: Caller) -> None:
    browser = browser_of(owner)
    User.objects.filter(pk=owner.user.pk).update(is_active=False)

    assert browser.get("/page/").status_code == 302


def test_the_role_is_that_of_the_chosen_workspace(viewer: Caller) -> None:
    browser = browser_of(viewer)
    assert browser.get("/page/").json()["role"] == "owner"
    assert browser.get("/admins/").status_code == 200

    browser = browser_of(viewer, viewer.workspace)
    assert browser.get("/page/").json()["role"] == "viewer"
    assert browser.get("/admins/").status_code == 403


def test_a_strangers_workspace_cannot_be_chosen(owner: Caller, stranger: Caller) -> None:
    browser = browser_of(stranger)

    for id in (str(owner.workspace.pk), "x", "", "a\0b"):
        assert browser.post("/switch/", {"workspace": id}).status_code == 404
    assert browser.get("/page/").json()["workspace"] == str(stranger.workspace.pk)


def test_who_is_put_out_of_the_chosen_workspace_lands_in_their_own(viewer: Caller) -> None:
    browser = browser_of(viewer, viewer.workspace)
    Membership.objects.get(user=viewer.user, workspace=viewer.workspace).delete()

    answer = browser.get("/page/")

    assert answer.json()["role"] == "owner"
    assert "workspace" not in browser.session


def test_who_has_no_workspace_gets_one(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser("root@example.com", "x"))

    assert client.get("/page/").json() == client.get("/page/").json()
    assert Workspace.objects.get().name == "root's workspace"


def test_what_the_view_does_not_find_is_a_404(owner: Caller) -> None:
    assert browser_of(owner).get("/missing/").status_code == 404
