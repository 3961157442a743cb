"""Where each path goes. `/v1` is dispatched before this, in asgi.py, to the same API's routes."""

from django.contrib import admin
from django.urls import include, path

from gateway_project.api import patterns

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("gateway_project.console_urls")),
    path("", patterns),
]
