"""Since when a key has had its budget, as members and workspaces."""

from importlib import import_module

from django.db import migrations, models

since = import_module("accounts.migrations.0006_budget_since")
TABLE = "keys_gatewaykey"


class Migration(migrations.Migration):
    dependencies = [("keys", "0007_announce_content"), ("accounts", "0006_budget_since")]

    operations = [
        migrations.AddField(
            model_name="gatewaykey",
            name="budget_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.RunSQL(since.keep(TABLE), since.forget(TABLE)),
    ]
