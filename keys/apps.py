from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_delete


class KeysConfig(AppConfig):
    name = "keys"

    def ready(self) -> None:
        from accounts.events import event_raised
        from accounts.models import Membership
        from accounts.services import workspace_created
        from accounts.workspaces import member_leaves
        from keys.models import Webhook
        from keys.vault import register_sealed
        from keys.webhooks.services import enter_event

        register_sealed(Webhook, "secret")
        event_raised.connect(enter_event, dispatch_uid="keys.webhooks")
        member_leaves.connect(end_limited_keys, dispatch_uid="keys.limited")
        pre_delete.connect(end_keys_of_deleted, sender=Membership, dispatch_uid="keys.limited")
        workspace_created.connect(add_environment_providers, dispatch_uid="keys.environment_providers")


def add_environment_providers(workspace: Any, **kwargs: Any) -> None:
    """Give the first workspace of the installation the providers that the operator's variables name."""
    from accounts.models import Workspace
    from keys.services import sync_environment_providers

    if not Workspace.objects.exclude(pk=workspace.pk).exists():
        sync_environment_providers()


def end_limited_keys(caller: Any, membership: Any, **kwargs: Any) -> None:
    """See `keys.services.revoke_limited`."""
    from keys.services import revoke_limited

    revoke_limited(caller, membership)


def end_keys_of_deleted(instance: Any, origin: Any, **kwargs: Any) -> None:
    """The same for a membership that goes any other way, such as with a user whom the administration deletes; where a
    workspace goes, its keys do with it.
    """
    from accounts.models import Workspace
    from keys.services import revoke_limited

    if getattr(origin, "model", type(origin)) is not Workspace:
        revoke_limited(None, instance)
