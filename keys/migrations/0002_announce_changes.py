"""Announce every change of a key or a provider to the processes that keep a picture of them (routing/snapshot.py).

The columns that change with each request or discovery are not watched, and a write that changes nothing says nothing.
A new column of these tables needs a migration that runs `announce()` again with it; a test compares.
"""

from django.db import migrations

CHANNEL = "gateway_config"

# table: (what the announcement calls it, the column with its id, the watched columns)
WATCHED = {
    "keys_gatewaykey": (
        "key",
        "id",
        (
            "id", "workspace_id", "created_by_id", "name", "created_at", "expires_at", "revoked_at", "allowed_models",
            "policy", "privacy_mode", "scopes", "budget_usd", "budget_period", "rate_limit_requests",
            "rate_limit_window", "rate_limit_tokens",
        ),
    ),
    "keys_keysecret": ("key", "key_id", ("id", "key_id", "digest", "prefix", "last4", "created_at", "expires_at")),
    "keys_provider": (
        "provider",
        "id",
        (
            "id", "workspace_id", "created_by_id", "kind", "name", "base_url", "secret", "secret_hint", "locality",
            "enabled", "from_environment", "created_at", "model_ids", "discovered_models",
        ),
    ),
}

FUNCTION = f"""
CREATE OR REPLACE FUNCTION announce_gateway_config() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        changed := to_jsonb(OLD);
    ELSE
        changed := to_jsonb(NEW);
    END IF;
    PERFORM pg_notify('{CHANNEL}', TG_ARGV[0] || ':' || (changed ->> TG_ARGV[1]));
    RETURN NULL;
END $$;
"""


def announce(table: str, *more: str) -> str:
    """The SQL that makes the triggers of `table` anew, watching the columns `more` that came after this migration."""
    what, column, watched = WATCHED[table]
    watched += more
    old, new = (", ".join(f"{row}.{name}" for name in watched) for row in ("OLD", "NEW"))
    call = f"EXECUTE FUNCTION announce_gateway_config('{what}', '{column}')"
    return f"""
    CREATE OR REPLACE TRIGGER announce_rows AFTER INSERT OR DELETE ON {table} FOR EACH ROW {call};
    CREATE OR REPLACE TRIGGER announce_change AFTER UPDATE OF {", ".join(watched)} ON {table} FOR EACH ROW
        WHEN (({old}) IS DISTINCT FROM ({new})) {call};
    """


UNDO = "".join(
    f"DROP TRIGGER announce_rows ON {table}; DROP TRIGGER announce_change ON {table};" for table in WATCHED
)


class Migration(migrations.Migration):
    dependencies = [("keys", "0001_initial")]

    operations = [
        migrations.RunSQL(
            FUNCTION + "".join(announce(table) for table in WATCHED),
            UNDO + "DROP FUNCTION announce_gateway_config();",
        )
    ]
