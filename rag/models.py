"""Libraries and their documents: what was uploaded, what is being made of it, and what can be searched.

A document's chunks are made in `StagedChunk` and embedded there, one batch a transaction, so that a worker may be
killed at any moment. When none is left to embed they become `Chunk` rows and entries of the vector store in one
transaction: what can be searched is always a whole version of a document. The vector store's own table is no Django
model; see `rag/store/`.

Deleting a workspace, a library or a document deletes what belongs to it in the database itself (`ON DELETE CASCADE`):
a document may have more chunks than anybody should read to delete them.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils import timezone
from pgvector.django import HalfVectorField

from accounts.models import User, Workspace
from gateway_project.lib.ids import uuid7

DEFAULT_LIBRARY = "default"
# Of a library's `ocr`: tesseract, or else a model that the workspace's policy chooses; nobody.
OCR_AUTO, OCR_OFF = "auto", "off"


class PrivacyMode(models.TextChoices):
    STRICT = "strict"
    FLEXIBLE = "flexible"


class Space(models.Model):
    """Vectors that may be compared: those of one workspace, made by one revision of one model.

    `dimension` is the vectors' length. Libraries of one workspace share a space when they share a model, so that a
    search in all of them is one search.
    """

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=300)
    revision = models.CharField(max_length=100, blank=True)
    dimension = models.PositiveIntegerField()
    # Whether its entries have a partition of their own, with an index for approximate search.
    partitioned = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "model", "revision", "dimension"], name="space_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model} ({self.dimension})"


class Library(models.Model):
    """A collection of documents that is searched together, all embedded by one model."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="libraries")
    name = models.CharField(max_length=120)
    # The embedding model that was asked for; empty for the installation's.
    model = models.CharField(max_length=300, blank=True)
    # Whose vectors are searched; null until the first document is embedded.
    space = models.ForeignKey(Space, on_delete=models.RESTRICT, null=True, blank=True, related_name="libraries")
    # null: the installation's default, in tokens of the embedding model.
    chunk_tokens = models.PositiveIntegerField(null=True, blank=True)
    overlap = models.PositiveIntegerField(null=True, blank=True)
    # Whether a chunk is embedded with its document's title and its section's headings before it.
    contextual_header = models.BooleanField(default=True)
    # ISO 639-1; empty: found out per document.
    language = models.CharField(max_length=10, blank=True)
    # strict: an answer over its documents is made on the house's own machines alone.
    privacy_mode = models.CharField(max_length=10, choices=PrivacyMode.choices, blank=True)
    # Who reads pages without text: OCR_AUTO, OCR_OFF, or a model as a request names one.
    ocr = models.CharField(max_length=300, default=OCR_AUTO)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "libraries"
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="library_name_once")]

    def __str__(self) -> str:
        return self.name


class Status(models.TextChoices):
    """Where a document's newest version is on its way; an older version stays searchable until that one is ready."""

    QUEUED = "queued"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"


class Document(models.Model):
    """What was uploaded. The file lies in the document storage under `file`; deleting the row deletes it, too."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The database's own cascade, here and below: see the module.
    workspace = models.ForeignKey(Workspace, on_delete=models.DO_NOTHING, db_index=False, related_name="+")
    library = models.ForeignKey(Library, on_delete=models.DO_NOTHING, db_index=False, related_name="documents")
    title = models.CharField(max_length=500)
    # The file's name, a path in a ZIP or folder, or the URL: a later upload of the same one is a new version.
    source = models.CharField(max_length=1000, blank=True)
    media_type = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    language = models.CharField(max_length=10, blank=True)
    # Of the newest version that was uploaded, which may still be on its way.
    sha256 = models.BinaryField(max_length=32, editable=False)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    file = models.CharField(max_length=300, blank=True)
    pages = models.PositiveIntegerField(null=True, blank=True)
    # The newest uploaded version, and the one that is searched (0: none yet).
    version = models.PositiveIntegerField(default=1)
    live_version = models.PositiveIntegerField(default=0)
    # Chunks of the live version; and of the newest one: all, and those that are embedded.
    chunks = models.PositiveIntegerField(default=0)
    chunks_total = models.PositiveIntegerField(default=0)
    chunks_done = models.PositiveIntegerField(default=0)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    # What was left out although the document is ready: pages without text, macros, a sheet that was too long.
    notes = ArrayField(models.CharField(max_length=300), default=list, blank=True)
    cancelled = models.BooleanField(default=False)
    # Who works at it, until when (a dead worker's lease runs out), how often it was begun, and when it is next.
    lease_owner = models.CharField(max_length=100, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    next_try_at = models.DateTimeField(null=True, blank=True, editable=False)

    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # The gateway key that uploaded it.
    key_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            # The same bytes twice are one document.
            models.UniqueConstraint(fields=["library", "sha256"], name="document_bytes_once"),
        ]
        indexes = [
            models.Index(fields=["library", "-created_at", "-id"], name="document_by_library"),
            models.Index(fields=["workspace", "-created_at", "-id"], name="document_by_workspace"),
            models.Index(fields=["library", "source"], name="document_by_source"),
            # What is still to do; a handful of rows.
            models.Index(
                fields=["next_try_at"],
                name="document_to_do",
                condition=models.Q(status__in=["queued", "parsing", "embedding"]),
            ),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="document_metadata"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def progress(self) -> float:
        """0 to 1: of the newest version's chunks, the share that is embedded."""
        if self.status == Status.READY:
            return 1.0
        return self.chunks_done / self.chunks_total if self.chunks_total else 0.0


class AnyText(models.Model):
    """The text that was found in a document; chunks' and citations' offsets count its characters.

    `pages` holds the offset at which each page begins, `headings` an `[offset, level, title]` for each heading.
    """

    document = models.OneToOneField(Document, on_delete=models.DO_NOTHING, primary_key=True, related_name="+")
    text = models.TextField()
    pages = models.JSONField(default=list)
    headings = models.JSONField(default=list)

    class Meta:
        abstract = True


class DocumentText(AnyText):
    """Of a document's live version."""

    def __str__(self) -> str:
        return f"text of {self.document_id}"


class StagedText(AnyText):
    """Of a version that is on its way."""

    version = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"text of {self.document_id} v{self.version}"


class AnyChunk(models.Model):
    """A passage of a document's text, from `start` to `end` in characters."""

    id = models.BigAutoField(primary_key=True)
    ordinal = models.PositiveIntegerField()
    content = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    # From 1; null where the format has none.
    page = models.PositiveIntegerField(null=True, blank=True)
    # The headings above it, outermost first.
    headings = ArrayField(models.CharField(max_length=300), default=list)
    # What is embedded before the content: title and section. Never part of a citation.
    header = models.CharField(max_length=1000, blank=True)
    tokens = models.PositiveIntegerField(help_text="Of header and content, by the embedding model.")
    # SHA-256 of what is embedded: the same passage needs no second embedding.
    hash = models.BinaryField(max_length=32)

    class Meta:
        abstract = True


class Chunk(AnyChunk):
    """A passage that can be found. Its vector and its words are in the vector store, under the chunk's id."""

    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+"
    )
    library = models.ForeignKey(
        Library, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+"
    )
    document = models.ForeignKey(Document, on_delete=models.DO_NOTHING, db_index=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["document", "ordinal"], name="chunk_once")]
        indexes = [
            models.Index(fields=["library", "id"], name="chunk_by_library"),
            models.Index(fields=["workspace", "hash"], name="chunk_by_hash"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} #{self.ordinal}"


class StagedChunk(AnyChunk):
    """A passage of a version that is on its way; `embedding` is null until it is made, by the model of `space`."""

    document = models.ForeignKey(Document, on_delete=models.DO_NOTHING, db_index=False, related_name="+")
    version = models.PositiveIntegerField()
    space = models.ForeignKey(Space, on_delete=models.CASCADE, null=True, related_name="+")
    embedding = HalfVectorField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["document", "version", "ordinal"], name="staged_chunk_once"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} v{self.version} #{self.ordinal}"


class Reembedding(models.Model):
    """A library on its way to another model: beside the old one, until all is there, and then at once."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    library = models.ForeignKey(Library, on_delete=models.CASCADE, related_name="reembeddings")
    # The model that was asked for; its space is known when the worker has loaded it.
    model = models.CharField(max_length=300)
    old_space = models.ForeignKey(Space, on_delete=models.SET_NULL, null=True, related_name="+")
    new_space = models.ForeignKey(Space, on_delete=models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=1000, blank=True)
    lease_owner = models.CharField(max_length=100, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["library"], condition=models.Q(state="running"), name="reembedding_one_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["library", "-created_at"], name="reembedding_by_library")]

    def __str__(self) -> str:
        return f"{self.library_id} to {self.model}"


class Entry(models.Model):
    """What the vector store holds of a chunk. `rag/store/` alone reads and writes it, in SQL; see the migration.

    The table is partitioned by `part`: 0 is shared by all small spaces, and a space that has grown has its own, which
    bears the space's id.
    """

    part = models.BigIntegerField(default=0)
    space_id = models.BigIntegerField()
    workspace_id = models.UUIDField()
    library_id = models.UUIDField()
    document = models.ForeignKey(Document, on_delete=models.DO_NOTHING, db_index=False, related_name="+")
    # Once in a space; a library that changes its model has it in two for a while.
    chunk_id = models.BigIntegerField(primary_key=True)
    # The text search configuration that made `words`.
    config = models.TextField()
    embedding = HalfVectorField()
    words = SearchVectorField()

    class Meta:
        db_table = "rag_entry"
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"entry {self.chunk_id} of space {self.space_id}"
