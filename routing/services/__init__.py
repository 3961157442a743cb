"""Writes: everything that creates, changes or ends a policy, or sets what a workspace knows of a model."""

from routing.services.model_settings import set_model
from routing.services.policies import (
    change_policy,
    create_policy,
    named_policy,
    policy_names,
    remove_policy,
    roll_back,
)

__all__ = ["change_policy", "create_policy", "named_policy", "policy_names", "remove_policy", "roll_back", "set_model"]
