"""The preview: what a draft would do with a prompt, before it is saved."""

import pytest

from accounts.access import Caller
from routing import services
from routing.models import Policy
from tests.console.browser import Browser
from tests.console.routing.forms import BALANCED
from tests.rag.shelves import make_document, make_library


@pytest.mark.usefixtures("fleet")
def test_a_draft_shows_what_it_would_do_before_it_is_saved(browser: Browser) -> None:
    draft = {**BALANCED, "name": "draft"}
    free = browser.post("policy-preview", **draft, prompt="Hello there", htmx=True)
    strict = browser.post("policy-preview", **draft, privacy_mode="strict", prompt="Hello there", htmx=True)

    assert "cloud" in free
    assert "Score" in free
    assert "Goes to house/llama3.1:8b" in strict
    assert "2 left out" in strict
    assert strict.text.count("it is not local") == 2
    assert not Policy.objects.exists()


@pytest.mark.usefixtures("fleet")
def test_a_request_that_nobody_may_answer_goes_nowhere(browser: Browser) -> None:
    page = browser.post(
        "policy-preview", **BALANCED, name="draft", models="cloud/gpt-5", prompt="Hello", sensitivity="confidential"
    )

    assert "nowhere" in page


@pytest.mark.usefixtures("fleet")
def test_the_documents_that_would_be_quoted_are_linked(browser: Browser, owner: Caller) -> None:
    document = make_document(make_library(owner.workspace, "towers"), ["The lighthouse is red."], title="Red towers")
    draft = {**BALANCED, "name": "draft", "rag_library": "towers"}
    page = browser.post("policy-preview", **draft, prompt="Which lighthouse is red?", htmx=True)

    assert "1 passage of towers" in page
    assert f'href="/console/libraries/{document.library_id}/documents/{document.pk}/">Red towers' in page.html
    gone = browser.post(
        "policy-preview", **(draft | {"rag_library": "nowhere"}), prompt="Which lighthouse is red?", htmx=True
    )
    assert "There is no library 'nowhere'." in gone


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": ""}, "Type a prompt"),
        ({"prompt": "x" * 20_001}, "20000 characters"),
        ({"prompt": "hi", "cost": "-4"}, "cannot be used: Cost: must be at least 0."),
        ({"prompt": "hi", "cost": 0, "quality": 0, "speed": 0}, "must not all be zero"),
        ({"prompt": "hi", "min_simple": "1.5"}, "Least quality, simple: must be at most 1."),
        ({"prompt": "hi", "connect": 0}, "Timeouts, connect: must be above 0."),
        ({"prompt": "hi", "complexity": "vast"}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_previewed_says_why(browser: Browser, fields: dict[str, object], said: str) -> None:
    page = browser.post("policy-preview", **({**BALANCED, "name": "draft"} | fields), htmx=True)

    assert page.status == 200
    assert said in page


@pytest.mark.usefixtures("fleet")
def test_what_the_classifier_saw_is_in_words_and_without_what_it_did_not_see(browser: Browser) -> None:
    page = browser.post("policy-preview", **BALANCED, prompt="Prove that there are infinitely many primes.", htmx=True)

    assert "Ask tokens" in page
    assert "Images" not in page


@pytest.mark.usefixtures("fleet")
def test_without_the_forms_fields_the_stored_policy_is_tried(viewer: Caller, owner: Caller) -> None:
    strict = services.create_policy(owner, {"name": "house", "privacy_mode": "strict"})
    browser = Browser(viewer)

    # What a browser sends of a page whose form is disabled.
    assert f'name="policy" value="{strict.pk}"' in browser.get("policy", strict.pk).html
    assert 'name="policy"' not in browser.get("policy-built-in").html
    stored = browser.post("policy-preview", policy=strict.pk, prompt="Hello there", htmx=True)
    built_in = browser.post("policy-preview", prompt="Hello there", htmx=True)
    draft = Browser(owner).post("policy-preview", **BALANCED, policy=strict.pk, prompt="Hello there", htmx=True)

    assert "Goes to house/llama3.1:8b" in stored
    assert "2 left out" in stored
    assert "left out" not in built_in
    assert "left out" not in draft


@pytest.mark.usefixtures("fleet")
def test_a_strangers_policy_is_not_tried(stranger: Caller, policy: Policy) -> None:
    assert Browser(stranger).post("policy-preview", policy=policy.pk, prompt="Hello", htmx=True).status == 404
    assert Browser(stranger).post("policy-preview", policy="no-id", prompt="Hello", htmx=True).status == 404
