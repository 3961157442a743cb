"""Where each path goes. What gateway keys call is dispatched before this, in asgi.py, to the same API's routes."""

from django.contrib import admin
from django.urls import include, path

from gateway_project.api import patterns
from gateway_project.health import health
from gateway_project.prometheus import metrics

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health", health, name="health"),
    path("metrics", metrics, name="metrics"),
    path("", include("gateway_project.console_urls")),
    path("", patterns),
]

handler400 = "gateway_project.error_pages.bad_request"
handler403 = "gateway_project.error_pages.permission_denied"
handler404 = "gateway_project.error_pages.not_found"
handler500 = "gateway_project.error_pages.server_error"
