"""What a workspace knows of models, and knows better."""

import pytest

from routing.models import ModelSettings
from tests.console.browser import Browser


@pytest.mark.usefixtures("fleet")
def test_models_are_listed_with_what_is_known_of_them(browser: Browser) -> None:
    page = browser.get("models")
    found = browser.get("models", q="LLAMA", htmx=True)

    assert "gpt-5 cloud" in page
    assert "llama3.1:8b" in found
    assert "gpt-5" not in found
    assert "No model matches" in browser.get("models", q="nothing like it")


def test_without_providers_there_are_no_models_yet(browser: Browser) -> None:
    assert "No models yet" in browser.get("models")
    assert "Nothing to watch yet" in browser.get("fleet")


@pytest.mark.usefixtures("fleet")
def test_a_workspace_knows_better_and_takes_it_back(browser: Browser) -> None:
    page = browser.post("model", "cloud/gpt-5", input_usd_per_mtok="1.5", output_usd_per_mtok="12", quality="0.9")

    assert "The changes are saved." in browser.follow(page)
    own = ModelSettings.objects.get()
    assert (str(own.input_usd_per_mtok), own.quality, own.enabled) == ("1.500000000000", 0.9, False)
    assert "switched off" in browser.get("model", "cloud/gpt-5")

    browser.post("model", "cloud/gpt-5", enabled="on")

    own.refresh_from_db()
    assert (own.input_usd_per_mtok, own.quality, own.enabled) == (None, None, None)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"quality": "2"}, "Must be at most 1."),
        ({"input_usd_per_mtok": "-1"}, "greater than or equal to 0"),
        ({"input_usd_per_mtok": "0.0000000000001"}, "12 decimal places"),
        ({"output_usd_per_mtok": "1000000"}, "less than 1000000"),
        ({"context_window": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named(browser: Browser, fields: dict[str, object], complaint: str) -> None:
    page = browser.post("model", "cloud/gpt-5", enabled="on", **fields, htmx=True)

    assert page.status == 422
    assert complaint in page
    assert not ModelSettings.objects.exists()
