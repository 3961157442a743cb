"""An address has one webhook in a workspace. Of those that have several, the oldest stays: each event went there twice."""

from django.db import migrations, models
from django.db.models.functions import MD5

KEEP_OLDEST = """
WITH again AS (
    SELECT newer.id FROM keys_webhook newer JOIN keys_webhook older USING (workspace_id, url)
    WHERE (newer.created_at, newer.id) > (older.created_at, older.id)
), unlogged AS (
    DELETE FROM keys_webhookdelivery WHERE webhook_id IN (SELECT id FROM again)
)
DELETE FROM keys_webhook WHERE id IN (SELECT id FROM again);
SET CONSTRAINTS ALL IMMEDIATE;  -- else no index can be made of the table in this transaction
"""


class Migration(migrations.Migration):
    dependencies = [("keys", "0008_budget_since")]

    operations = [
        migrations.RunSQL(KEEP_OLDEST, migrations.RunSQL.noop),
        migrations.AddConstraint(
            "webhook", models.UniqueConstraint("workspace", MD5("url"), name="webhook_url_in_workspace")
        ),
    ]
