"""What the console's templates need on every page."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.access import Action
from accounts.models import Membership, User
from accounts.queries import unread_events
from accounts.views import THEMES


def console(request: HttpRequest) -> dict[str, Any]:
    """The theme that the browser's cookie names, the caller where a page has one, and what sign-up allows."""
    theme = request.COOKIES.get("theme", "auto")
    caller = getattr(request, "caller", None)
    return {
        "theme": theme if theme in THEMES else "auto",
        "caller": caller,
        "memberships": SimpleLazyObject(lambda: _memberships(caller.user)) if caller else [],
        "unread_events": SimpleLazyObject(lambda: unread_events(caller)) if caller else 0,
        "sees_audit": caller is not None and caller.may(Action.READ_AUDIT),
        "sees_webhooks": caller is not None and caller.may(Action.MANAGE_WEBHOOKS),
        "signup_enabled": settings.SIGNUP_ENABLED,
    }


def _memberships(user: User) -> list[Membership]:
    """The workspaces that the switcher offers."""
    return list(Membership.objects.filter(user=user).select_related("workspace").order_by("created_at", "id"))
