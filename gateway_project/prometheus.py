"""`GET /metrics`: the whole installation's figures on this machine, for Prometheus and for staff."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from analytics import tallies
from gateway_project.api import error_response
from gateway_project.lib.errors import NotAuthenticated
from rag.embedding import metrics as embedder

# Headers by which a proxy says that a request came from elsewhere: then loopback means the proxy.
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics in Prometheus's text format, to loopback itself, to staff, or to whoever has `METRICS_TOKEN`."""
    if not (_has_token(request) or _is_local(request) or request.user.is_staff):
        return error_response(NotAuthenticated("Metrics are for this machine, for staff, and for METRICS_TOKEN."))
    tallies.hand_over()
    registry = REGISTRY
    if settings.METRICS_FOLDER is not None:
        # Several web processes: each writes its figures there, and any of them answers for all.
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(settings.METRICS_FOLDER))  # type: ignore[no-untyped-call]
    body = generate_latest(registry) + generate_latest(embedder.registry())
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    token = settings.METRICS_TOKEN
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def _is_local(request: HttpRequest) -> bool:
    forwarded = any(header in request.headers for header in FORWARDED)
    return request.META.get("REMOTE_ADDR") in LOOPBACK and not forwarded
