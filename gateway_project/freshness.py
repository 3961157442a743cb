"""A change is in force when its answer says so: what was created can be used by the very next request."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from routing import snapshot

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Where what the request path knows is changed.
PATHS = (
    "/api/keys/", "/console/keys/", "/console/providers/", "/admin/keys/",
    "/api/routing/policies", "/api/routing/models", "/api/routing/providers/", "/console/routing/", "/admin/routing/",
    "/api/workspaces/", "/console/team/", "/admin/accounts/",
)  # fmt: skip
# Sent with every few letters that are typed, and changes nothing.
BUT = "/console/routing/policies/preview/"
# Seconds; as a rule it takes some 30 ms. Other processes of the installation are as quick, but are not waited for.
PATIENCE = 1.0


def in_force_when_answered(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: after such a change, answer once this process's request path has heard of it."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        changes = request.method not in SAFE and request.path.startswith(PATHS) and request.path != BUT
        if changes and response.status_code < 400:
            snapshot.current.catch_up(PATIENCE)
        return response

    return answer
