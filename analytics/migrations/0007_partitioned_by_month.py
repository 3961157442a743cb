from django.db import migrations

from analytics import partitions

TABLE = "analytics_usagerecord"
OLD = "analytics_usagerecord_whole"

# A primary key of a partitioned table must contain what it is partitioned by. That an id is in the ledger once, whatever
# time comes with it, is seen to by the ledger's writer: batches are entered one after the other.
INDEXES = (
    "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s "
    "AND indexname <> 'analytics_usagerecord_pkey'"
)
FOREIGN_KEYS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
)
MONTHS = f"SELECT DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC')::date FROM {OLD}"


def partition(apps, schema_editor):
    """The table as one that is partitioned by month, with its rows, its constraints and its indexes under their names."""
    connection = schema_editor.connection.connection
    # Django's own deferred checks of this transaction must be over before tables change.
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    indexes = [row[0] for row in connection.execute(INDEXES, [TABLE])]
    foreign_keys = connection.execute(FOREIGN_KEYS, [TABLE]).fetchall()
    connection.execute(f"ALTER TABLE {TABLE} RENAME TO {OLD}")
    connection.execute(
        f"CREATE TABLE {TABLE} (LIKE {OLD} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at)"
    )
    partitions.ensure(connection, [*partitions.current(), *(row[0] for row in connection.execute(MONTHS))])
    connection.execute(f"INSERT INTO {TABLE} SELECT * FROM {OLD}")
    connection.execute(f"DROP TABLE {OLD}")
    connection.execute(f"ALTER TABLE {TABLE} ADD PRIMARY KEY (id, created_at)")
    for name, definition in foreign_keys:
        connection.execute(f'ALTER TABLE {TABLE} ADD CONSTRAINT "{name}" {definition}')
    for definition in indexes:
        connection.execute(definition)
    for month in partitions.existing(connection):
        partitions.name_indexes(connection, month)


class Migration(migrations.Migration):

    dependencies = [
        ("analytics", "0006_rollups_of_the_past"),
    ]

    operations = [migrations.RunPython(partition)]
