from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """The wiring itself: it has no models, only the checks that `manage.py check` and every start run."""

    name = "gateway_project"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from gateway_project import checks  # noqa: F401  (importing it registers them)
