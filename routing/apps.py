from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"

    def ready(self) -> None:
        from keys.probe import register_prober
        from routing.discovery import probe_now

        register_prober(probe_now)
