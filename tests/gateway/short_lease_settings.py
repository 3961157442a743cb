"""The product's settings with a lease on budgets that a test can wait for."""

from gateway_project.settings import *  # noqa: F403

BUDGETS_LEASE = 3.0
