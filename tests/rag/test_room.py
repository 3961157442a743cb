"""What a workspace's documents may be in all."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Workspace
from gateway_project.lib.errors import RequestTooLarge
from rag import services, storage
from rag.models import Library
from rag.services import Actor

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_workspace_that_is_full_takes_nothing_more_until_something_is_deleted(
    actor: Actor, library: Library, settings: Any
) -> None:
    settings.MAX_WORKSPACE_BYTES = 2500
    other = services.create_library(actor, {"name": "other"})
    kept, _ = services.upload(actor, library, name="a.txt", content=BytesIO(b"a" * 1500))

    with pytest.raises(RequestTooLarge, match=r"no room for this file of 1\.5 KB.*are 1\.5 KB.*be 2\.4 KB in all"):
        services.upload(actor, other, name="b.txt", content=BytesIO(b"b" * 1501))
    assert storage.documents().listdir(f"{actor.workspace_id}/{library.pk}")[1] == [Path(kept.file).name]
    assert storage.documents().listdir(f"{actor.workspace_id}/{other.pk}")[1] == []

    services.delete_document(actor, kept)
    assert services.upload(actor, other, name="b.txt", content=BytesIO(b"b" * 1501))[1]


def test_a_new_version_takes_the_place_of_the_one_before(actor: Actor, library: Library, settings: Any) -> None:
    settings.MAX_WORKSPACE_BYTES = 2500
    services.upload(actor, library, name="a.txt", content=BytesIO(b"a" * 1500))

    document, _ = services.upload(actor, library, name="a.txt", content=BytesIO(b"b" * 2500))

    assert (document.version, document.size) == (2, 2500)
    with pytest.raises(RequestTooLarge):
        services.upload(actor, library, name="a.txt", content=BytesIO(b"c" * 2501))


def test_zero_is_no_bound_and_what_others_have_does_not_count(actor: Actor, library: Library, settings: Any) -> None:
    settings.MAX_WORKSPACE_BYTES = 1000
    stranger = Actor(Workspace.objects.create(name="stranger").pk)
    services.upload(stranger, services.default_library(stranger.workspace_id), name="x", content=BytesIO(b"x" * 900))
    assert services.upload(actor, library, name="a.txt", content=BytesIO(b"a" * 900))[1]

    settings.MAX_WORKSPACE_BYTES = 0
    assert services.upload(actor, library, name="c.txt", content=BytesIO(b"c" * 5000))[1]
