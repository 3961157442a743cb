"""How many keys a workspace has, and how many secrets a key: every process holds all of them in memory."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.access import Caller
from keys import services
from keys.models import GatewayKey, KeySecret
from tests.api_client import ApiClient

pytestmark = pytest.mark.django_db
PATH = "/api/keys/gateway"


@pytest.fixture
def key(owner: Caller) -> GatewayKey:
    return services.create_key(owner, {"name": "ci"})[0]


def test_a_workspace_that_has_all_its_keys_revokes_one_first(
    api: ApiClient, key: GatewayKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keys.services.gateway_keys.MAX_KEYS", 1)

    refused = api.post(PATH, name="another")

    assert refused.status == 409
    assert "at most 1 keys" in refused.error["message"]
    assert api.delete(f"{PATH}/{key.pk}").status == 204
    assert api.post(PATH, name="another").status == 201


def test_secrets_that_still_work_are_bounded_and_end_at_once_without_overlap(api: ApiClient, key: GatewayKey) -> None:
    answers = [api.post(f"{PATH}/{key.pk}/rotate", overlap_seconds=3600).status for _ in range(11)]

    assert answers == [201] * 9 + [409] * 2
    assert key.secrets.exclude(expires_at__lte=timezone.now()).count() == 10
    assert api.post(f"{PATH}/{key.pk}/rotate", overlap_seconds=0).status == 201
    assert key.secrets.exclude(expires_at__lte=timezone.now()).count() == 1


def test_of_the_secrets_that_ended_the_last_few_are_remembered_for_a_while(owner: Caller, key: GatewayKey) -> None:
    for _ in range(15):
        services.rotate_key(owner, key)
    assert key.secrets.count() <= 12

    KeySecret.objects.exclude(expires_at=None).update(expires_at=timezone.now() - timedelta(days=31))
    services.rotate_key(owner, key)
    assert key.secrets.count() == 2
