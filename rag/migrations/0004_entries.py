import django.db.models.deletion
import pgvector.django.halfvec
from django.contrib.postgres.search import SearchVectorField
from django.db import migrations, models

# Scripts that put no space between words: each character is a word, and a word of several is found as a phrase.
UNSPACED = "[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"

TABLE = """
CREATE TABLE rag_entry (
    part bigint NOT NULL DEFAULT 0,
    space_id bigint NOT NULL,
    workspace_id uuid NOT NULL,
    library_id uuid NOT NULL,
    document_id uuid NOT NULL REFERENCES rag_document (id) ON DELETE CASCADE,
    chunk_id bigint NOT NULL,
    config text NOT NULL,
    embedding halfvec NOT NULL,
    words tsvector NOT NULL
) PARTITION BY LIST (part);
-- A vector is read with its row. Words are read by text search alone: long ones lie beside the table.
ALTER TABLE rag_entry ALTER COLUMN embedding SET STORAGE MAIN;
CREATE UNIQUE INDEX rag_entry_once ON rag_entry (document_id, space_id, part, chunk_id);
CREATE INDEX rag_entry_by_library ON rag_entry (space_id, library_id);
CREATE INDEX rag_entry_by_config ON rag_entry (space_id, config);
CREATE TABLE rag_entry_shared PARTITION OF rag_entry FOR VALUES IN (0);
CREATE INDEX rag_entry_shared_words ON rag_entry_shared USING gin (words);
"""

FUNCTIONS = f"""
CREATE FUNCTION rag_spaced(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN given ~ '{UNSPACED}' THEN regexp_replace(given, '({UNSPACED})', ' \\1 ', 'g') ELSE given END
$$;
CREATE FUNCTION rag_words(config text, header text, content text) RETURNS tsvector LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector(config::regconfig, rag_spaced(left(header, 2000))), 'C')
        || to_tsvector(config::regconfig, rag_spaced(left(content, 100000)))
$$;
"""

UNDO = """
DROP TABLE rag_entry CASCADE;
DROP FUNCTION rag_words(text, text, text);
DROP FUNCTION rag_spaced(text);
"""


class Migration(migrations.Migration):
    """The vector store's table. Django knows it, so that it empties it with the others; all queries are SQL.

    A list of parts and no default one: a part is added beside the others, while these are read and written.
    """

    dependencies = [("rag", "0003_database_cascades")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FUNCTIONS + TABLE, UNDO)],
            state_operations=[
                migrations.CreateModel(
                    name="Entry",
                    fields=[
                        ("part", models.BigIntegerField(default=0)),
                        ("space_id", models.BigIntegerField()),
                        ("workspace_id", models.UUIDField()),
                        ("library_id", models.UUIDField()),
                        ("chunk_id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("config", models.TextField()),
                        ("embedding", pgvector.django.halfvec.HalfVectorField()),
                        ("words", SearchVectorField()),
                        (
                            "document",
                            models.ForeignKey(
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="rag.document",
                            ),
                        ),
                    ],
                    options={"verbose_name_plural": "entries", "db_table": "rag_entry"},
                ),
            ],
        ),
    ]
