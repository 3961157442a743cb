"""The routes that the hop-free handler serves: those of the API whose first segment it names."""

from django.urls import path

from gateway_project.api import patterns
from gateway_project.v1 import serves

resolvers, application, namespace = patterns
urlpatterns = [path("", ([route for route in resolvers if serves(f"/{route.pattern}")], application, namespace))]
