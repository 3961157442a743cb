"""Providers: the kind picker, adding, testing, changing, removing."""

import pytest
from django.urls import reverse
from pytest_django import Settings

from accounts.access import Caller
from keys import services
from keys.kinds import KINDS
from keys.models import Provider
from tests.console.browser import Browser, Page
from tests.console.conftest import queries_of
from tests.keys.server import Server

SECRET = "sk-stored-0123456789"


@pytest.fixture(autouse=True)
def _local_hosts(settings: Settings) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ("localhost", "127.0.0.1", "::1")


@pytest.fixture
def provider(owner: Caller) -> Provider:
    """One with a secret, at a port where nothing listens."""
    data = {"kind": "vllm", "name": "box", "base_url": "http://localhost:9", "api_key": SECRET}
    return services.create_provider(owner, data)


def fields(page: Page) -> set[str]:
    return {name for name in ("name", "base_url", "api_key", "models", "locality") if f'name="{name}"' in page.html}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("demo", {"name"}),
        ("openai", {"name", "api_key", "base_url", "models"}),
        ("azure", {"name", "api_key", "base_url", "models"}),
        ("vllm", {"name", "api_key", "base_url", "models", "locality"}),
    ],
)
def test_the_form_shows_only_what_the_kind_needs(browser: Browser, kind: str, shown: set[str]) -> None:
    assert fields(browser.get("provider-new", kind=kind)) == shown


def test_the_picker_offers_every_kind_as_a_link(browser: Browser) -> None:
    page = browser.get("provider-new")

    assert all(f'href="?kind={kind}"' in page.html for kind in KINDS)
    assert fields(page) == set()
    assert fields(browser.get("provider-new", kind="nonsense")) == set()
    assert "<html" not in browser.get("provider-new", kind="vllm", htmx=True).html


def test_a_server_is_added_and_asked_for_its_models(browser: Browser) -> None:
    with Server() as server:
        server.models("tiny", "large")
        server.json("/health", {})
        page = Page(
            browser.client.post(
                reverse("provider-new") + "?kind=vllm", {"name": "box", "base_url": server.url, "api_key": SECRET}
            )
        )
        shown = browser.follow(page)
        tested = browser.post("provider-test", Provider.objects.get().pk, htmx=True)

    assert "box is added and lists 2 models." in shown
    assert "box/tiny" in shown
    assert "box answers" in tested
    assert "lists 2 models" in tested
    assert "6789" in browser.get("providers")
    assert SECRET not in shown.html + browser.get("providers").html


@pytest.mark.parametrize(
    ("kind", "data", "complaint"),
    [
        ("openai", {"name": "o"}, "This field is required."),
        ("vllm", {"name": "a/b", "base_url": "http://localhost:9"}, "Must hold no '/'"),
        ("vllm", {"name": "v", "base_url": "ftp://localhost"}, "http://"),
        ("vllm", {"name": "v", "base_url": "http://10.0.0.1"}, "private"),
        ("vllm", {"name": "box", "base_url": "http://localhost:9"}, "There is a provider named 'box' already."),
        ("azure", {"name": "az", "base_url": "https://x.openai.azure.com", "api_key": "k"}, "This field is required."),
        ("vllm", {"name": "v", "base_url": "http://localhost:9", "api_key": "not ascii \u00e9"}, "printable ASCII"),
    ],
)
def test_a_wrong_field_is_named(
    browser: Browser, provider: Provider, kind: str, data: dict[str, str], complaint: str
) -> None:
    answer = browser.client.post(f"{reverse('provider-new')}?kind={kind}", data, headers={"HX-Request": "true"})

    page = Page(answer)
    assert page.status == 422
    assert complaint in page
    assert 'aria-invalid="true"' in page.html
    assert "<html" not in page.html
    assert Provider.objects.count() == 1


def test_what_is_wrong_is_said_in_one_round(browser: Browser) -> None:
    page = Page(browser.client.post(f"{reverse('provider-new')}?kind=openai", {"name": "a/b"}))

    assert "Must hold no '/'" in page
    assert "This field is required." in page


def test_a_refused_form_does_not_repeat_the_secret(browser: Browser) -> None:
    answer = browser.client.post(f"{reverse('provider-new')}?kind=openai", {"name": "a/b", "api_key": SECRET})

    assert answer.status_code == 422
    assert SECRET not in answer.content.decode()


def test_a_test_says_in_plain_words_what_is_wrong(browser: Browser, provider: Provider) -> None:
    in_place = browser.post("provider-test", provider.pk, htmx=True)
    from_the_list = browser.post("provider-test", provider.pk, **{"from": "list"}, htmx=True)
    without_javascript = browser.follow(browser.post("provider-test", provider.pk))

    assert "box does not answer." in in_place
    assert "refused" in in_place
    assert (from_the_list.status, "refused" in from_the_list.headers["HX-Trigger"]) == (204, True)
    assert "The last check failed." in without_javascript
    assert browser.get("provider-test", provider.pk).status == 405


def test_its_page_marks_the_models_in_memory(browser: Browser, provider: Provider) -> None:
    provider.discovered_models = ["llama3:8b", "qwen3:8b"]
    for loaded, marks in ((["qwen3:8b"], 1), ([], 0), (None, 0)):
        provider.loaded_models = loaded
        provider.save()
        assert browser.get("provider", provider.pk).html.count("in memory") == marks


def test_a_change_keeps_the_stored_secret(browser: Browser, provider: Provider) -> None:
    same = {"base_url": "http://localhost:9", "locality": "local"}

    page = browser.post("provider", provider.pk, name="crate", api_key="", models="one\n two \n\none", **same)

    assert "The changes are saved." in browser.follow(page)
    changed = Provider.objects.get()
    assert (changed.name, changed.model_ids, changed.secret_hint) == ("crate", ["one", "two"], "6789")


def test_a_stored_secret_does_not_follow_to_another_host(browser: Browser, provider: Provider) -> None:
    page = browser.post(
        "provider", provider.pk, name="box", base_url="http://127.0.0.1:9", locality="local", api_key="", htmx=True
    )

    assert page.status == 422
    assert "Must be given again" in page


def test_it_can_be_disabled_and_enabled(browser: Browser, provider: Provider) -> None:
    assert "box is disabled." in browser.follow(browser.post("provider-state", provider.pk, enabled="no"))
    assert "Disabled" in browser.get("providers")
    assert "box is enabled." in browser.follow(browser.post("provider-state", provider.pk, enabled="yes"))


def test_removing_asks_first(browser: Browser, provider: Provider) -> None:
    asked = browser.get("provider-remove", provider.pk)
    in_a_dialog = browser.get("provider-remove", provider.pk, htmx=True)
    assert "Remove box?" in asked
    assert "<html" not in in_a_dialog.html
    assert Provider.objects.exists()

    page = browser.post("provider-remove", provider.pk)

    assert "box is removed." in browser.follow(page)
    assert not Provider.objects.exists()


def test_one_from_the_environment_is_the_operators(browser: Browser, provider: Provider) -> None:
    Provider.objects.update(from_environment=True)

    assert "Change it there; here it can be tested and disabled" in browser.get("provider", provider.pk)
    assert browser.post("provider", provider.pk, name="mine", base_url="http://localhost:9").status == 422
    assert "comes from the environment" in browser.follow(browser.post("provider-remove", provider.pk))
    assert browser.post("provider-state", provider.pk, enabled="no").status == 303


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_who_is_no_admin_only_looks(provider: Provider, role: str, viewer: Caller, member: Caller) -> None:
    browser = Browser(viewer if role == "viewer" else member)

    assert "box" in browser.get("providers")
    page = browser.get("provider", provider.pk)
    assert (page.status, fields(page)) == (200, set())
    assert browser.get("provider-new").status == 403
    for name in ("provider", "provider-test", "provider-state", "provider-remove"):
        assert browser.post(name, provider.pk).status == 403


def test_for_a_stranger_it_does_not_exist(provider: Provider, stranger: Caller) -> None:
    browser = Browser(stranger)

    assert "box" not in browser.get("providers")
    assert browser.get("provider", provider.pk).status == 404
    assert browser.get("provider", "no-id").status == 404
    for name in ("provider", "provider-test", "provider-state", "provider-remove"):
        assert browser.post(name, provider.pk).status == 404


def test_the_list_asks_as_often_for_many(browser: Browser, owner: Caller, provider: Provider) -> None:
    few = queries_of(lambda: browser.get("providers"))
    Provider.objects.bulk_create(
        Provider(workspace=owner.workspace, kind="vllm", name=f"p{number}", locality="local") for number in range(20)
    )

    assert queries_of(lambda: browser.get("providers")) == few
