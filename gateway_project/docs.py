"""The API reference, `/docs` (Swagger UI) and `/redoc`, from files that django-ninja ships: nothing from a CDN."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from gateway_project import csp

# Both write their styles into the page; Redoc searches in a worker that it makes from a blob.
POLICY = csp.policy(style_src="'self' 'unsafe-inline'", worker_src="blob:")


@require_safe
@ensure_csrf_cookie
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI. "Try it out" works with the console's session, whose CSRF token the page holds."""
    return _page(request, "gateway/docs.html")


@require_safe
def redoc(request: HttpRequest) -> HttpResponse:
    return _page(request, "gateway/redoc.html")


def _page(request: HttpRequest, template: str) -> HttpResponse:
    response = render(request, template)
    response.headers[csp.HEADER] = POLICY
    return response
