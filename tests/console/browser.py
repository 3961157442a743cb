"""A browser without JavaScript: Django's whole stack behind a logged-in session."""

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.access import Caller
from accounts.web import CHOSEN_WORKSPACE

# What the Content-Security-Policy would refuse.
INLINE = re.compile(
    r"""<style|\sstyle=|\son[a-z]+=|\shx-on|["']javascript:|<script(?![^>]*\ssrc=)(?![^>]*application/json)""", re.I
)


class Page:
    """An answer, as its reader sees it."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.status: int = response.status_code
        self.headers = response.headers
        # How the templates are laid out is no test's business.
        self.html: str = re.sub(r"\s+", " ", response.content.decode())
        self.location: str = response.headers.get("Location") or response.headers.get("HX-Redirect", "")

    @property
    def text(self) -> str:
        """The words of the page, without tags, scripts and surplus space."""
        bare = re.sub(r"<(script|template)\b.*?</\1>|<[^>]+>", " ", self.html, flags=re.S)
        return re.sub(r"\s+", " ", bare).replace("&#x27;", "'").replace("&amp;", "&").strip()

    @property
    def inline(self) -> list[str]:
        return INLINE.findall(self.html)

    def __contains__(self, words: str) -> bool:
        return words in self.text

    def __repr__(self) -> str:
        return f"<{self.status} {self.location} {self.text[:1500]}>"


class Browser:
    """`browser.get("providers")`, `browser.post("provider", id, name="x")`: pages by their URL names."""

    def __init__(self, caller: Caller | None = None) -> None:
        self.client = Client()
        if caller is not None:
            self.client.force_login(caller.user)
            session = self.client.session
            session[CHOSEN_WORKSPACE] = str(caller.workspace.pk)
            session.save()

    def get(self, page: str, /, *args: Any, htmx: Any = False, **query: Any) -> Page:
        return Page(self.client.get(reverse(page, args=args), query, headers=_htmx(htmx)))

    def post(self, page: str, /, *args: Any, htmx: Any = False, **fields: Any) -> Page:
        return Page(self.client.post(reverse(page, args=args), fields, headers=_htmx(htmx)))

    def follow(self, page: Page) -> Page:
        """The page that `page` redirects to."""
        return Page(self.client.get(page.location))


def _htmx(htmx: bool) -> dict[str, str]:
    return {"HX-Request": "true"} if htmx else {}
