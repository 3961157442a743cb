"""Announce every change of a policy, a model's settings or evidence to the processes that keep a picture of them.

Each names its workspace, whose rows of that table are then read again. A policy's version changes whenever what it
says does, so its versions need no trigger of their own.
"""

from django.db import migrations

# table: (what the announcement calls it, the watched columns)
WATCHED = {
    "routing_policy": ("policy", ("id", "workspace_id", "name", "version", "is_default")),
    "routing_modelsettings": (
        "model",
        (
            "id", "workspace_id", "provider_id", "model", "input_usd_per_mtok", "cached_input_usd_per_mtok",
            "output_usd_per_mtok", "quality", "context_window", "enabled",
        ),
    ),
    "routing_evidence": ("evidence", ("id", "workspace_id", "model", "complexity", "source", "good", "bad")),
}


def announce(table: str) -> str:
    """The SQL that makes the triggers of `table` anew."""
    what, watched = WATCHED[table]
    old, new = (", ".join(f"{row}.{name}" for name in watched) for row in ("OLD", "NEW"))
    call = f"EXECUTE FUNCTION announce_gateway_config('{what}', 'workspace_id')"
    return f"""
    CREATE OR REPLACE TRIGGER announce_rows AFTER INSERT OR DELETE ON {table} FOR EACH ROW {call};
    CREATE OR REPLACE TRIGGER announce_change AFTER UPDATE OF {", ".join(watched)} ON {table} FOR EACH ROW
        WHEN (({old}) IS DISTINCT FROM ({new})) {call};
    """


UNDO = "".join(
    f"DROP TRIGGER announce_rows ON {table}; DROP TRIGGER announce_change ON {table};" for table in WATCHED
)


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial"), ("keys", "0002_announce_changes")]

    operations = [migrations.RunSQL("".join(announce(table) for table in WATCHED), UNDO)]
