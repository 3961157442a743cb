"""Announce every change of a limit or a budget to the processes that keep a picture of them (routing/snapshot.py).

A key's own are announced with the key. Those of a member and of a workspace name the workspace, whose keys are then
read again.
"""

from importlib import import_module

from django.db import migrations

announce = import_module("keys.migrations.0002_announce_changes").announce
ADDED = ("budget_reset_at", "budget_reset_usd", "rate_limit_streams")

LIMITS = (
    "budget_usd", "budget_period", "budget_reset_at", "budget_reset_usd", "rate_limit_requests", "rate_limit_window",
    "rate_limit_tokens", "rate_limit_streams",
)

# table: (the column with the workspace's id, the watched columns, the events in which a row comes or goes)
WATCHED = {
    "accounts_workspace": ("id", ("name", *LIMITS), None),
    # Whoever leaves takes their limits along.
    "accounts_membership": ("workspace_id", ("user_id", "workspace_id", *LIMITS), "INSERT OR DELETE"),
}


def announce_limits(table: str) -> str:
    column, watched, events = WATCHED[table]
    old, new = (", ".join(f"{row}.{name}" for name in watched) for row in ("OLD", "NEW"))
    call = f"EXECUTE FUNCTION announce_gateway_config('limits', '{column}')"
    rows = f"CREATE OR REPLACE TRIGGER announce_rows AFTER {events} ON {table} FOR EACH ROW {call};" if events else ""
    return f"""
    {rows}
    CREATE OR REPLACE TRIGGER announce_change AFTER UPDATE OF {", ".join(watched)} ON {table} FOR EACH ROW
        WHEN (({old}) IS DISTINCT FROM ({new})) {call};
    """


UNDO = "".join(
    f"DROP TRIGGER IF EXISTS announce_rows ON {table}; DROP TRIGGER announce_change ON {table};" for table in WATCHED
)


class Migration(migrations.Migration):
    dependencies = [("keys", "0004_limits"), ("accounts", "0002_limits")]

    operations = [
        migrations.RunSQL(announce("keys_gatewaykey", *ADDED), announce("keys_gatewaykey")),
        migrations.RunSQL("".join(announce_limits(table) for table in WATCHED), UNDO),
    ]
