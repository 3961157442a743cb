"""Which models a provider's server holds in memory, and what it says of them; both are announced like its models."""

from importlib import import_module

import django.contrib.postgres.fields
from django.db import migrations, models

announce = import_module("keys.migrations.0002_announce_changes").announce
TABLE = "keys_provider"


class Migration(migrations.Migration):
    dependencies = [("keys", "0002_announce_changes")]

    operations = [
        migrations.AddField(
            "provider",
            "loaded_models",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=300), blank=True, null=True, size=None
            ),
        ),
        migrations.AddField("provider", "model_details", models.JSONField(blank=True, default=dict)),
        migrations.RunSQL(announce(TABLE, "loaded_models", "model_details"), announce(TABLE)),
    ]
