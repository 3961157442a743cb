"""A library moves to another embedding model, beside the old one; rag/ingest/reembedding.py does the work."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from gateway_project.lib.errors import Conflict, NotFound
from rag.models import Library, Reembedding
from rag.services.actor import Actor
from rag.services.hints import work_is_there
from rag.services.models import check_model


def reembed(actor: Actor, library: Library, model: str) -> Reembedding:
    """Begin to embed a library by another model ("": the installation's). Search goes on with the old vectors.

    Raises `Conflict` while another one runs, `InvalidRequest` for a model that cannot be used here.
    """
    check_model(model)
    return _begin(actor, library, model, "library.reembedded")


@transaction.atomic
def cancel_reembedding(actor: Actor, library: Library) -> Reembedding:
    """Give up the one that runs; the library stays as it is. Raises `Conflict` when none runs."""
    running = Reembedding.objects.select_for_update().filter(library=library, state=Reembedding.State.RUNNING).first()
    if running is None:
        raise Conflict("No re-embedding of this library runs.")
    running.state, running.finished_at = Reembedding.State.CANCELLED, timezone.now()
    running.lease_owner, running.leased_until = "", None
    running.save()
    actor.record("library.reembedding_cancelled", library, new={"model": running.model})
    return running


def rollback_reembedding(actor: Actor, library: Library) -> Reembedding:
    """Go back to the model from before the last re-embedding. Vectors that are still there are not made again.

    Raises `Conflict` when there is none to go back to, or another one runs.
    """
    last = (
        Reembedding.objects.select_related("old_space")
        .filter(library=library, state=Reembedding.State.DONE)
        .order_by("-finished_at")
        .first()
    )
    if last is None or last.old_space is None:
        raise Conflict("This library was not re-embedded, or too long ago to go back.")
    return _begin(actor, library, last.old_space.model, "library.reembedding_rolled_back")


@transaction.atomic
def _begin(actor: Actor, library: Library, model: str, action: str) -> Reembedding:
    locked = Library.objects.select_for_update(of=("self",)).select_related("space").filter(pk=library.pk).first()
    if locked is None:
        raise NotFound("There is no such library.")
    try:
        with transaction.atomic():
            begun = Reembedding.objects.create(
                library=locked,
                model=model,
                old_space=locked.space,
                created_by_id=actor.caller.user.pk if actor.caller else None,
            )
    except IntegrityError:
        raise Conflict("A re-embedding of this library runs already; cancel it first.") from None
    former = locked.space.model if locked.space else locked.model
    actor.record(action, locked, old={"model": former}, new={"model": model})
    work_is_there(begun.pk)
    return begun
