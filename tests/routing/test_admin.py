"""Django's admin shows policies with their versions and models' settings, and breaks none of the API's rules."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.access import Caller
from accounts.models import Workspace
from keys.models import GatewayKey
from keys.services import create_key
from routing import services
from routing.models import ModelSettings, Policy
from tests.routing.conftest import MakeProvider


@pytest.fixture
def staff(owner: Caller) -> Client:
    client = Client()
    client.force_login(owner.user)
    return client


@pytest.fixture
def policy(owner: Caller) -> Policy:
    policy = services.create_policy(owner, {"name": "cheap"})
    return services.change_policy(owner, policy, {"hedge": True})


def test_a_policy_is_shown_with_its_versions_and_cannot_be_edited(staff: Client, policy: Policy) -> None:
    assert "cheap" in staff.get(reverse("admin:routing_policy_changelist")).content.decode()
    page = staff.get(reverse("admin:routing_policy_change", args=[policy.pk]))
    assert "Changed hedge" in page.content.decode()
    assert staff.get(reverse("admin:routing_policy_add")).status_code == 403
    assert staff.post(reverse("admin:routing_policy_change", args=[policy.pk]), {"name": "x"}).status_code == 403


def test_a_policy_that_keys_name_is_protected_here_too(staff: Client, owner: Caller, policy: Policy) -> None:
    create_key(owner, {"name": "the ci key", "policy": "cheap"})
    path = reverse("admin:routing_policy_delete", args=[policy.pk])
    assert "the ci key" in staff.get(path).content.decode()
    staff.post(path, {"post": "yes"})
    assert Policy.objects.exists()
    GatewayKey.objects.all().delete()
    staff.post(path, {"post": "yes"})
    assert not Policy.objects.exists()


def test_a_models_settings_are_shown_and_it_can_be_switched_off(
    staff: Client, owner: Caller, make_provider: MakeProvider
) -> None:
    make_provider("cloud", "openai", "gpt-4o")
    services.set_model(owner, "cloud/gpt-4o", {"quality": 0.5})
    row = ModelSettings.objects.get()
    assert "gpt-4o" in staff.get(reverse("admin:routing_modelsettings_changelist")).content.decode()
    staff.post(reverse("admin:routing_modelsettings_change", args=[row.pk]), {"enabled": "false", "quality": "1"})
    row.refresh_from_db()
    assert (row.enabled, row.quality) == (False, 0.5)


def test_a_workspace_can_still_be_removed_with_its_policies(staff: Client, stranger: Caller) -> None:
    services.create_policy(stranger, {"name": "theirs"})
    create_key(stranger, {"name": "k", "policy": "theirs"})
    staff.post(reverse("admin:accounts_workspace_delete", args=[stranger.workspace.pk]), {"post": "yes"})
    assert not Workspace.objects.filter(pk=stranger.workspace.pk).exists()
    assert not Policy.objects.exists()
