"""The routes that the hop-free handler serves: those of the API that begin with `v1/`."""

from django.urls import path

from gateway_project.api import patterns

resolvers, application, namespace = patterns
urlpatterns = [
    path("", ([route for route in resolvers if str(route.pattern).startswith("v1/")], application, namespace))
]
