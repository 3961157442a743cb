"""What the workers do about documents. Postgres knows what there is to do; a message is a hint that there is some."""

from celery import shared_task

from rag.ingest import rounds


@shared_task  # type: ignore[untyped-decorator]
def process_document(id: str = "") -> None:
    """Work at whatever is due, fairly between workspaces, for a while. `id` is what the sender knew of."""
    rounds.work()


@shared_task  # type: ignore[untyped-decorator]
def requeue_expired() -> None:
    """Hint at work that nobody is at: its message is lost, its worker is dead, or its time has come."""
    rounds.hint()


@shared_task  # type: ignore[untyped-decorator]
def sweep_files() -> None:
    """Delete files that belong to no document any more."""
    from rag.ingest.sweep import sweep_files as sweep

    sweep()


@shared_task  # type: ignore[untyped-decorator]
def maintain_store() -> None:
    """Keep the vector store's indexes, and remove what re-embeddings have left behind."""
    from rag.ingest.sweep import tidy_store

    tidy_store()
