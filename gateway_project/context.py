"""What the console's templates need on every page."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Membership, User
from accounts.views import THEMES


def console(request: HttpRequest) -> dict[str, Any]:
    """The theme that the browser's cookie names, the caller where a page has one, and what sign-up allows."""
    theme = request.COOKIES.get("theme", "auto")
    caller = getattr(request, "caller", None)
    return {
        "theme": theme if theme in THEMES else "auto",
        "caller": caller,
        "memberships": SimpleLazyObject(lambda: _memberships(caller.user)) if caller else [],
        "signup_enabled": settings.SIGNUP_ENABLED,
    }


def _memberships(user: User) -> list[Membership]:
    """The workspaces that the switcher offers."""
    return list(Membership.objects.filter(user=user).select_related("workspace").order_by("created_at", "id"))
