"""Console pages: who may see one, in which workspace, and what a browser is told instead."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied as Forbidden
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.cache import add_never_cache_headers
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from accounts import access, services
from accounts.access import Action, Caller
from accounts.models import User
from gateway_project.lib.errors import NotFound, PermissionDenied

P = ParamSpec("P")

# The session's key for the workspace that the user chose last.
CHOSEN_WORKSPACE = "workspace"


class ConsoleRequest(HttpRequest):
    """A request for a console page, as `console_view` hands it on."""

    htmx: HtmxDetails
    caller: Caller


ConsoleView = Callable[Concatenate[ConsoleRequest, P], HttpResponseBase]


def console_view(
    action: Action = Action.READ,
) -> Callable[[ConsoleView[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    """Decorator of a console page that takes the role for `action`.

    The view gets a `ConsoleRequest`. Without a login the browser goes to the login page, and back here afterwards.
    Django's own 403 and 404 pages answer the `PermissionDenied` and `NotFound` that the view raises.
    """

    def decorate(view: ConsoleView[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request)
            console = cast(ConsoleRequest, request)
            try:
                console.caller = chosen_caller(request, request.user)
                access.require(console.caller, action)
                response = view(console, *args, **kwargs)
            except PermissionDenied as error:
                raise Forbidden(error.message) from None
            except NotFound as error:
                raise Http404(error.message) from None
            # A page of a workspace must not come back from a shared computer's history after logout.
            add_never_cache_headers(response)
            return response

        return answer

    return decorate


def redirect_to_login(request: HttpRequest) -> HttpResponseBase:
    """To the login page, which leads back to the page that was asked for.

    htmx would swap the login form into the page's fragment, so it is told to leave the page instead.
    """
    htmx = HtmxDetails(request)
    if htmx:
        came_from = htmx.current_url_abs_path
    else:
        came_from = request.get_full_path() if request.method in ("GET", "HEAD") else None
    url = resolve_url(settings.LOGIN_URL)
    if came_from:
        url = f"{url}?{urlencode({'next': came_from})}"
    return HttpResponseClientRedirect(url) if htmx else HttpResponseRedirect(url)


def chosen_caller(request: HttpRequest, user: User) -> Caller:
    """`user` in the workspace that the session chose, or in their first one when that is gone."""
    chosen = request.session.get(CHOSEN_WORKSPACE)
    if chosen is not None:
        try:
            return access.caller_for(user, chosen)
        except NotFound:  # they were removed from it
            del request.session[CHOSEN_WORKSPACE]
    return services.home(user)


def choose_workspace(request: HttpRequest, user: User, workspace_id: str) -> Caller:
    """Have this session's pages show another workspace. Raises NotFound when `user` is no member of it."""
    caller = access.caller_for(user, workspace_id)
    request.session[CHOSEN_WORKSPACE] = str(caller.workspace.pk)
    return caller
