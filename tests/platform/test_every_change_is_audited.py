"""Every endpoint that changes a workspace leaves an entry in the audit trail, and none where it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.access import Caller
from accounts.models import AuditEntry, Membership
from gateway_project.api import api as endpoints
from keys import services as keys
from keys.webhooks.services import create_webhook
from rag import services as rag
from rag.models import Document, Library, Reembedding, Space
from routing import services as routing
from tests.api_client import PASSWORD, ApiClient

# operation: the action that it leaves, and its body
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "POST /api/workspaces": ("workspace.created", {"name": "Second"}),
    "PATCH /api/workspaces/{workspace_id}": ("workspace.changed", {"budget_usd": "5"}),
    "POST /api/workspaces/{workspace_id}/budget/reset": ("workspace.budget_reset", {}),
    "POST /api/workspaces/{workspace_id}/members": ("member.added", {"email": "stranger@example.com"}),
    "PATCH /api/workspaces/{workspace_id}/members/{member_id}": ("member.changed", {"role": "viewer"}),
    "DELETE /api/workspaces/{workspace_id}/members/{member_id}": ("member.removed", {}),
    "POST /api/workspaces/{workspace_id}/members/{member_id}/budget/reset": ("member.budget_reset", {}),
    "POST /api/keys/gateway": ("key.created", {"name": "new"}),
    "PATCH /api/keys/gateway/{key_id}": ("key.changed", {"rate_limit_requests": 5}),
    "DELETE /api/keys/gateway/{key_id}": ("key.revoked", {}),
    "POST /api/keys/gateway/{key_id}/rotate": ("key.rotated", {}),
    "POST /api/keys/gateway/{key_id}/budget/reset": ("key.budget_reset", {}),
    "POST /api/keys/providers": ("provider.created", {"kind": "demo", "name": "another"}),
    "PATCH /api/keys/providers/{provider_id}": ("provider.changed", {"enabled": False}),
    "DELETE /api/keys/providers/{provider_id}": ("provider.removed", {}),
    "POST /api/routing/policies": ("policy.created", {"name": "new", "default": True}),
    "PATCH /api/routing/policies/{policy_id}": ("policy.changed", {"privacy_mode": "strict"}),
    "DELETE /api/routing/policies/{policy_id}": ("policy.removed", {}),
    "POST /api/routing/policies/{policy_id}/rollback": ("policy.rolled_back", {"version": 1}),
    "PATCH /api/routing/models/{model_id}": ("model.changed", {"quality": 0.5}),
    "POST /api/webhooks": ("webhook.created", {"url": "http://localhost:9/new"}),
    "PATCH /api/webhooks/{webhook_id}": ("webhook.changed", {"enabled": False}),
    "DELETE /api/webhooks/{webhook_id}": ("webhook.removed", {}),
    "POST /api/webhooks/{webhook_id}/rotate": ("webhook.rotated", {}),
    "POST /api/routing/cache/purge": ("cache.purged", {"model": "demo"}),
    "POST /api/libraries": ("library.created", {"name": "second"}),
    "PATCH /api/libraries/{library_id}": ("library.changed", {"privacy_mode": "strict"}),
    "DELETE /api/libraries/{library_id}": ("library.deleted", {}),
    "POST /api/libraries/{library_id}/rechunk": ("library.rechunked", {}),
    "POST /api/libraries/{library_id}/reembed": ("library.reembedded", {"model": "other"}),
    "POST /api/libraries/{library_id}/reembed/cancel": ("library.reembedding_cancelled", {}),
    "POST /api/libraries/{library_id}/reembed/rollback": ("library.reembedding_rolled_back", {}),
    "PATCH /api/libraries/{library_id}/documents/{document_id}": ("document.changed", {"title": "Another"}),
    "DELETE /api/libraries/{library_id}/documents/{document_id}": ("document.deleted", {}),
}
# What changes nothing that a workspace is made of, or is a person's own affair (tests/accounts/test_audit.py).
NONE = {
    "POST /api/auth/signup", "POST /api/auth/login", "POST /api/auth/refresh", "POST /api/auth/logout",
    "POST /api/keys/providers/{provider_id}/test", "POST /api/routing/explain",
    "POST /api/webhooks/{webhook_id}/test",
    # The documents say by themselves who uploaded them, and what becomes of them.
    "POST /api/libraries/search", "POST /api/libraries/{library_id}/documents",
    "POST /api/libraries/{library_id}/documents/{document_id}/cancel",
    "POST /api/libraries/{library_id}/documents/{document_id}/retry",
}  # fmt: skip

Path = Callable[[str], str]


@pytest.fixture
def path(owner: Caller, member: Caller, stranger: Caller) -> Path:
    """The path of an operation, about a workspace that has one of each."""
    provider = keys.create_provider(owner, {"kind": "demo", "name": "demo"})
    policy = routing.create_policy(owner, {"name": "old"})
    webhook, _ = create_webhook(owner, {"url": "http://localhost:9/hook"})
    library, document = _library(owner)
    ids = {
        "workspace_id": owner.workspace.pk,
        "member_id": Membership.objects.get(user=member.user, workspace=owner.workspace).pk,
        "key_id": keys.create_key(owner, {"name": "ci", "budget_usd": "5"})[0].pk,
        "provider_id": provider.pk,
        "policy_id": policy.pk,
        "webhook_id": webhook.pk,
        "library_id": library.pk,
        "document_id": document.pk,
        "model_id": f"demo/{provider.discovered_models[0]}",
    }

    def of(operation: str) -> str:
        if operation.endswith("reembed/cancel"):
            Reembedding.objects.create(library=library, model="other")
        return operation.partition(" ")[2].format(**ids)

    return of


def _library(owner: Caller) -> tuple[Library, Document]:
    """With a document, and moved to another model once."""
    actor = rag.Actor.of(owner)
    library = rag.create_library(actor, {"name": "old"})
    document, _ = rag.upload_text(actor, library, text="What it says.", title="Old")
    space = Space.objects.create(workspace=owner.workspace, model="old model", dimension=3)
    done = Reembedding.State.DONE
    Reembedding.objects.create(library=library, model="new", old_space=space, state=done, finished_at=timezone.now())
    return library, document


def test_no_operation_is_forgotten() -> None:
    found = {
        f"{method.upper()} {path}"
        for path, methods in endpoints.get_openapi_schema()["paths"].items()
        for method in methods
        if method != "get" and path.startswith("/api/")
    }
    assert found == CHANGES.keys() | NONE


@pytest.mark.parametrize("operation", CHANGES)
def test_it_leaves_an_entry(operation: str, path: Path, api: ApiClient, owner: Caller) -> None:
    action, body = CHANGES[operation]
    before = set(AuditEntry.objects.values_list("pk", flat=True))

    answer = api.request(operation.partition(" ")[0], path(operation), body)

    assert answer.status < 300, answer
    entry = AuditEntry.objects.exclude(pk__in=before).get()
    assert (entry.action, entry.actor_id, entry.via) == (action, owner.user.pk, "api")
    assert entry.request_id == answer.headers["x-request-id"]
    assert entry.old or entry.new
    assert PASSWORD not in str(entry.__dict__)


@pytest.mark.parametrize("operation", sorted(CHANGES.keys() - {"POST /api/workspaces"}))
def test_one_that_is_refused_leaves_none(operation: str, path: Path, viewer: Caller, stranger: Caller) -> None:
    method, where, body = operation.partition(" ")[0], path(operation), CHANGES[operation][1]
    foreign = Caller(stranger.user, viewer.workspace, stranger.role)

    answers = [ApiClient.of(caller).request(method, where, body).status for caller in (viewer, foreign)]
    wrong = ApiClient.of(viewer).request(method, where, {"no such field": 1}).status

    assert answers == [403, 404]
    assert wrong >= 400
    refused = (viewer.user.pk, stranger.user.pk)
    assert not AuditEntry.objects.filter(workspace=viewer.workspace, actor_id__in=refused).exists()
