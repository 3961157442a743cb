from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts.events import event_raised
        from accounts.mail import enter_event

        event_raised.connect(enter_event, dispatch_uid="accounts.mail")
