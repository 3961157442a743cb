from django.db import migrations

# Table, column, and the table that it refers to: what Django's own constraint would forbid, the database does.
REFERENCES = (
    ("rag_document", "workspace_id", "accounts_workspace"),
    ("rag_document", "library_id", "rag_library"),
    ("rag_documenttext", "document_id", "rag_document"),
    ("rag_stagedtext", "document_id", "rag_document"),
    ("rag_stagedchunk", "document_id", "rag_document"),
    ("rag_chunk", "document_id", "rag_document"),
)

# Drops whatever foreign key the column has.
DROP = """
DO $$ DECLARE found text; BEGIN
    FOR found IN
        SELECT c.conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)
        WHERE c.contype = 'f' AND c.conrelid = '{table}'::regclass AND a.attname = '{column}'
    LOOP EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', found); END LOOP;
END $$;
"""
ADD = (
    'ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_cascades FOREIGN KEY ({column}) REFERENCES {target} (id)'
    " ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
)
ADD_PLAIN = (
    'ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_fk FOREIGN KEY ({column}) REFERENCES {target} (id)'
    " DEFERRABLE INITIALLY DEFERRED"
)


def _run(statement: str) -> list[str]:
    return [statement.format(table=table, column=column, target=target) for table, column, target in REFERENCES]


class Migration(migrations.Migration):
    """Deleting a workspace, a library or a document deletes what belongs to it without Python reading it first."""

    dependencies = [("rag", "0002_libraries")]
    operations = [
        migrations.RunSQL([*_run(DROP), *_run(ADD)], [*_run(DROP), *_run(ADD_PLAIN)]),
    ]
