"""The product's settings with timeouts that a test can wait for."""

from gateway_project.settings import *  # noqa: F403

UPSTREAM_TIMEOUTS = {"connect": 0.5, "first_byte": 0.5, "idle": 0.5, "total": 3.0}
CLIENT_STALL_SECONDS = 1.0
