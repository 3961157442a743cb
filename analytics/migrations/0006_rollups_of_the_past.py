from django.db import migrations

from analytics import rollups


def fill(apps, schema_editor):
    """Rollups of the records that were entered before there were any. A new database has none, and needs no rollups."""
    if apps.get_model("analytics", "UsageRecord").objects.exists():
        for _ in rollups.rebuild(schema_editor.connection.connection):
            pass


class Migration(migrations.Migration):

    dependencies = [
        ("analytics", "0005_rollups"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
