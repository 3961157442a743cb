"""Writes: everything that creates, changes or ends a gateway key or a provider."""

from keys.policies import register_policies
from keys.probe import Prober, ProbeResult, register_prober
from keys.services.environment import declared, sync_environment_providers
from keys.services.gateway_keys import (
    change_key,
    create_key,
    may_rotate,
    rename_policy,
    reset_budget,
    revoke_key,
    revoke_limited,
    rotate_key,
)
from keys.services.providers import (
    change_provider,
    create_provider,
    recheck_locality,
    record_probe,
    remove_provider,
    test_provider,
)

__all__ = [
    "ProbeResult",
    "Prober",
    "change_key",
    "change_provider",
    "create_key",
    "create_provider",
    "declared",
    "may_rotate",
    "recheck_locality",
    "record_probe",
    "register_policies",
    "register_prober",
    "remove_provider",
    "rename_policy",
    "reset_budget",
    "revoke_key",
    "revoke_limited",
    "rotate_key",
    "sync_environment_providers",
    "test_provider",
]
