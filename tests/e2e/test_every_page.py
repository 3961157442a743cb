"""Each page at two widths, light and dark: accessible, within its width, within its policy."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Resident

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
# Each differs from the one before in one thing. The first and the third are visits; in the others the page changes.
VIEWS = [(1280, "light"), (390, "light"), (390, "dark"), (1280, "dark")]
# All that a theme changes; what else there is to find was found at this width, in the other theme.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
PAGES = {
    "overview": "/console/",
    "overview, a week": "/console/?period=7d",
    "providers": "/console/providers/",
    "kind picker": "/console/providers/new/",
    "a local kind": "/console/providers/new/?kind=vllm",
    "a cloud kind": "/console/providers/new/?kind=azure",
    "demo kind": "/console/providers/new/?kind=demo",
    "provider": "/console/providers/{demo[id]}/",
    "provider that fails": "/console/providers/{broken[id]}/",
    "removal": "/console/providers/{broken[id]}/remove/",
    "keys": "/console/keys/",
    "new key": "/console/keys/new/",
    "key": "/console/keys/{key[id]}/",
    "revoked key": "/console/keys/{revoked[id]}/",
    "rotation": "/console/keys/{key[id]}/rotate/",
    "policies": "/console/routing/policies/",
    "new policy": "/console/routing/policies/new/",
    "policy": "/console/routing/policies/{policy[id]}/",
    "removal of a policy": "/console/routing/policies/{policy[id]}/remove/",
    "built-in policy": "/console/routing/policies/balanced/",
    "models": "/console/routing/models/",
    "no model": "/console/routing/models/?q=zzz",
    "model": "/console/routing/models/demo/demo/",
    "cache": "/console/routing/cache/",
    "purge": "/console/routing/cache/purge/",
    "health": "/console/routing/health/",
    "libraries": "/console/libraries/",
    "new library": "/console/libraries/new/",
    "library": "/console/libraries/{library[id]}/",
    "no document": "/console/libraries/{library[id]}/?q=zzz",
    "a library's settings": "/console/libraries/{library[id]}/settings/",
    "a library's model": "/console/libraries/{library[id]}/model/",
    "evaluation": "/console/libraries/{library[id]}/evaluation/",
    "removal of a library": "/console/libraries/{library[id]}/remove/",
    "a pasted text": "/console/libraries/{library[id]}/text/",
    "a URL": "/console/libraries/{library[id]}/url/",
    "document": "/console/libraries/{library[id]}/documents/{document[id]}/",
    "search": "/console/libraries/search/",
    "what is found": "/console/libraries/search/?q=moon&mode=text",
    "wrong search": "/console/libraries/search/?q=moon&filters=7",
    "analytics": "/console/analytics/",
    "analytics by key, tokens": "/console/analytics/?by=key&measure=tokens&period=24h",
    "analytics, own dates": "/console/analytics/?period=custom",
    "no analytics": "/console/analytics/?model=zzz",
    "wrong dates": "/console/analytics/?from=2026-02-02&to=2026-01-01",
    "requests": "/console/requests/",
    "requests, all filters": "/console/requests/?cache=off",
    "no requests": "/console/requests/?model=zzz",
    "wrong filter": "/console/requests/?from=2026-02-02&to=2026-01-01",
    "request": "/console/requests/{answered}/",
    "failed request": "/console/requests/{failed}/",
    "team": "/console/team/",
    "limits of a member": "/console/team/members/{member}/",
    "workspace": "/console/team/workspace/",
    "audit trail": "/console/audit/",
    "no changes": "/console/audit/?object=zzz",
    "events": "/console/events/",
    "webhooks": "/console/webhooks/",
    "new webhook": "/console/webhooks/new/",
    "webhook": "/console/webhooks/{webhook[id]}/",
    "a webhook's new secret": "/console/webhooks/{webhook[id]}/rotate/",
    "reset of a budget": "/console/keys/{key[id]}/reset/",
    "account": "/console/account/",
    "not found": "/console/nothing/",
}


def violations(page: Page, **options: Any) -> list[Any]:
    """What axe-core finds serious or critical."""
    page.evaluate("source => { if (!window.axe) (0, Function)(source)(); }", AXE)
    found: list[Any] = page.evaluate(
        """async options => (await axe.run(document, {resultTypes: ["violations"], ...options})).violations
            .filter(({impact}) => ["serious", "critical"].includes(impact))
            .map(({id, nodes}) => [id, nodes.map(node => node.target.join(" ") + ": " + node.failureSummary)])""",
        options,
    )
    return found


def cut_selects(page: Page) -> list[str]:
    """The selects without room for all that they can show; names of keys and libraries are as long as people like."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("select:not(#id_key, #id_library)")].filter(select => {
            const style = getComputedStyle(select), pen = document.createElement("canvas").getContext("2d");
            pen.font = style.font;
            const room = select.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
            return [...select.options].some(option => pen.measureText(option.text).width > room + 1);
        }).map(select => select.id)"""
    )
    return found


def check(page: Page, path: str) -> None:
    for turn, (width, theme) in enumerate(VIEWS):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 844})
        if turn in (0, 2):
            page.goto(path)
            # What is folded away is not looked at.
            page.evaluate("document.querySelectorAll('main details').forEach(each => { each.open = true; })")
        view = f"{path} at {width}, {theme}"
        page.wait_for_function("theme => document.documentElement.dataset.bsTheme === theme", arg=theme)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{view} scrolls sideways"
        assert cut_selects(page) == [], view
        assert violations(page, **({} if turn < 2 else COLOURS)) == [], view


@pytest.mark.parametrize("name", PAGES)
def test_page(page: Page, resident: Resident, name: str) -> None:
    check(page, PAGES[name].format(**vars(resident)))


@pytest.mark.parametrize("path", ["/console/login/", "/console/signup/"])
def test_entry_page(visitor: Page, path: str) -> None:
    check(visitor, path)


def test_the_administration_keeps_the_policy(visitor: Page) -> None:
    visitor.goto("/admin/")

    visitor.get_by_label("Email").wait_for()


@pytest.mark.parametrize(("path", "ready"), [("/docs", ".opblock"), ("/redoc", "#redoc h1")])
def test_the_api_reference_renders_offline(visitor: Page, path: str, ready: str) -> None:
    visitor.goto(path)

    visitor.locator(ready).first.wait_for(timeout=40_000)  # megabytes of script, on a busy machine
    visitor.wait_for_timeout(500)  # Redoc's badge comes last
