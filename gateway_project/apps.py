from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning, register

from gateway_project.checks import findings
from gateway_project.env import current


class GatewayConfig(AppConfig):
    """The wiring itself: it has no models, only the checks of `manage.py check`."""

    name = "gateway_project"
    verbose_name = "Gateway"


@register("environment")
def check_environment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The environment's findings in Django's terms."""
    return [(Error if found.is_error else Warning)(found.message, id=found.id) for found in findings(current())]
