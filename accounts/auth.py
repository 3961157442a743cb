"""How a caller of `/api` proves who they are: an access token, or the console's session cookie with CSRF."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.middleware.csrf import CsrfViewMiddleware
from ninja.security.base import AuthBase

from accounts import tokens
from accounts.access import Caller, caller_for
from accounts.models import ApiSession, User
from gateway_project.lib.errors import NotAuthenticated, NotFound, PermissionDenied

GATEWAY_KEY_PREFIX = "gw_"


@dataclass(frozen=True)
class SignIn:
    """Who is signed in; `session` is None for the console's cookie."""

    user: User
    session: ApiSession | None


class UserRequest(HttpRequest):
    """A request to an endpoint behind `user_auth`."""

    auth: SignIn


class ApiRequest(HttpRequest):
    """A request to an endpoint behind `api_auth`."""

    auth: Caller


class UserAuth(AuthBase):
    """For what belongs to a person, not to a workspace: `request.auth` is a `SignIn`."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Any:
        return signed_in(request)


class ApiAuth(UserAuth):
    """For what belongs to a workspace: `request.auth` is a `Caller`.

    `X-Workspace-Id` names the workspace; without it, it is the one that the user joined first.
    """

    def __call__(self, request: HttpRequest) -> Any:
        user, chosen = signed_in(request).user, request.headers.get("x-workspace-id")
        try:
            return caller_for(user, chosen)
        except NotFound as error:
            error.param = None if chosen is None else "X-Workspace-Id"
            raise


user_auth = UserAuth()
api_auth = ApiAuth()


def signed_in(request: HttpRequest) -> SignIn:
    """Who sent this request. A token that does not work is refused, whatever the cookie says.

    Raises NotAuthenticated, and PermissionDenied for a cookie without CSRF token.
    """
    found = _found(request)
    if found.session is None:
        _check_csrf(request)
    return found


def is_signed_in(request: HttpRequest) -> bool:
    """Whether somebody sent this request, which no middleware has seen yet. Reads nothing of its body."""
    SessionMiddleware(_no_view).process_request(request)
    AuthenticationMiddleware(_no_view).process_request(request)
    try:
        _found(request)
    except (NotAuthenticated, DatabaseError):  # where the database is away, the view says so
        return False
    return True


def _found(request: HttpRequest) -> SignIn:
    """Who is named by the request's token or cookie. Raises NotAuthenticated."""
    header = request.headers.get("authorization", "")
    scheme, _, credentials = header.partition(" ")
    credentials = credentials.strip()
    if credentials.startswith(GATEWAY_KEY_PREFIX) or (not header and "x-api-key" in request.headers):
        raise NotAuthenticated(
            "A gateway key is for /v1; /api takes the access token that POST /api/auth/login answers, "
            "as 'Authorization: Bearer …'."
        )
    if header:
        if scheme.lower() != "bearer" or not credentials:
            raise NotAuthenticated("Send an access token as 'Authorization: Bearer …'.", param="Authorization")
        session = tokens.session_of(credentials)
        return SignIn(session.user, session)
    if not request.user.is_authenticated:
        raise NotAuthenticated(
            "Send an access token as 'Authorization: Bearer …', or log in to the console.",
            headers={"www-authenticate": "Bearer"},
        )
    return SignIn(request.user, None)


class _CsrfCheck(CsrfViewMiddleware):
    """Django's own check; it tells the reason instead of rendering a page."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponseForbidden:
        return HttpResponseForbidden(reason)


def _check_csrf(request: HttpRequest) -> None:
    """A browser sends its cookie with any site's form; only the console's own pages know the CSRF token."""
    check = _CsrfCheck(_no_view)
    # The view itself is exempt, so the middleware has looked at it and let it pass.
    request.csrf_processing_done = False  # type: ignore[attr-defined]
    check.process_request(request)
    refusal = check.process_view(request, _no_view, (), {})
    if refusal is not None:
        reason = refusal.content.decode()
        raise PermissionDenied(f"With the console's cookie, send its CSRF token as X-CSRFToken. {reason}")


def _no_view(*_: Any) -> HttpResponse:
    return HttpResponse()
