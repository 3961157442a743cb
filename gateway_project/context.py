"""What the console's templates need on every page."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "theme"


def console(request: HttpRequest) -> dict[str, Any]:
    """The theme that the browser's cookie names, the caller where a page has one, and what sign-up allows."""
    theme = request.COOKIES.get(THEME_COOKIE, "auto")
    return {
        "theme": theme if theme in THEMES else "auto",
        "caller": getattr(request, "caller", None),
        "signup_enabled": settings.SIGNUP_ENABLED,
    }
