"""Console pages as small as they get, for the tests of `console_view`."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from accounts.access import Action
from accounts.web import ConsoleRequest, choose_workspace, console_view
from gateway_project.lib.errors import NotFound


@console_view()
def page(request: ConsoleRequest, name: str = "") -> HttpResponse:
    caller = request.caller
    return JsonResponse({"workspace": str(caller.workspace.pk), "role": caller.role.value, "name": name})


@console_view(Action.MANAGE_PROVIDERS)
def admins_page(request: ConsoleRequest) -> HttpResponse:
    return HttpResponse("for admins")


@console_view()
def missing(request: ConsoleRequest) -> HttpResponse:
    raise NotFound("There is no such provider.")


@console_view()
def switch(request: ConsoleRequest) -> HttpResponse:
    choose_workspace(request, request.caller.user, request.POST["workspace"])
    return HttpResponse()


def login(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("login/", login, name="login"),
    path("page/", page),
    path("page/<str:name>/", page),
    path("admins/", admins_page),
    path("missing/", missing),
    path("switch/", switch),
]
