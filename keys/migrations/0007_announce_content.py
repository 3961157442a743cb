"""Announce it when a workspace begins to keep prompts and answers, or ends it: its keys are then read again."""

from importlib import import_module

from django.db import migrations

limits = import_module("keys.migrations.0005_announce_limits")


def announce(*watched: str) -> str:
    old, new = (", ".join(f"{row}.{name}" for name in watched) for row in ("OLD", "NEW"))
    return f"""
    CREATE OR REPLACE TRIGGER announce_change AFTER UPDATE OF {", ".join(watched)} ON accounts_workspace FOR EACH ROW
        WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION announce_gateway_config('limits', 'id');
    """


class Migration(migrations.Migration):
    dependencies = [("keys", "0006_webhooks"), ("accounts", "0005_content")]

    operations = [
        migrations.RunSQL(announce("name", "store_content", *limits.LIMITS), announce("name", *limits.LIMITS)),
    ]
