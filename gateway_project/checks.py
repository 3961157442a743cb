"""Checks of variables against each other; `env.py` has looked at each by itself.

`manage.py check` shows them all. At the gateway's start an error ends it with its one line, a warning is logged.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Error, Warning, register, run_checks

from gateway_project.env import BadEnvironment, Environment, current
from keys.kinds import KINDS

TAG = "environment"
# RFC 7518, section 3.2: the key of HS256 has 32 bytes at least.
SHORTEST_SECRET = 32
SHORTEST_TOKEN = 16


@register(TAG)
def check_environment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django's entry point."""
    return findings(current())


def findings(env: Environment) -> list[CheckMessage]:
    """What is wrong with `env` as a whole, each message beginning with the variable's name."""
    return [*_backend(env), *_exposure(env), *_secrets(env), *_langfuse(env)]


def errors_at_start() -> list[str]:
    """Run the environment's checks. Returns the warnings; raises BadEnvironment for the first error."""
    found = run_checks(tags=[TAG])
    for message in found:
        if message.is_serious():
            raise BadEnvironment(str(message.msg))
    return [str(message.msg) for message in found]


def _backend(env: Environment) -> list[CheckMessage]:
    if not env.backend_kind:
        orphan = "BACKEND_BASE_URL" if env.backend_base_url else "BACKEND_API_KEY" if env.backend_api_key else ""
        return [Error(f"{orphan}: needs BACKEND_KIND beside it", id="gateway.E001")] if orphan else []
    kind = KINDS.get(env.backend_kind)
    if kind is None:
        return [Error(f"BACKEND_KIND: must be one of {', '.join(KINDS)}", id="gateway.E002")]
    if not kind.base_url and not env.backend_base_url and kind.wire != "demo":
        return [Error(f"BACKEND_BASE_URL: must be set, {kind.id} has no address of its own", id="gateway.E003")]
    return []


def _exposure(env: Environment) -> list[CheckMessage]:
    if _is_loopback(env.host):
        return []
    found: list[CheckMessage] = []
    if env.debug:
        found.append(
            Warning("DEBUG: shows source and settings to everybody who can reach this gateway", id="gateway.W001")
        )
    if not env.public_url:
        found.append(
            Warning("PUBLIC_URL: is unset, so requests by any name but localhost are refused", id="gateway.W002")
        )
    return found


def _secrets(env: Environment) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if len(env.secret_key) < SHORTEST_SECRET:
        found.append(Warning(f"SECRET_KEY: has fewer than {SHORTEST_SECRET} characters", id="gateway.W003"))
    if 0 < len(env.metrics_token) < SHORTEST_TOKEN:
        found.append(Warning(f"METRICS_TOKEN: has fewer than {SHORTEST_TOKEN} characters", id="gateway.W004"))
    return found


def _langfuse(env: Environment) -> list[CheckMessage]:
    parts = {
        "LANGFUSE_HOST": env.langfuse_host,
        "LANGFUSE_PUBLIC_KEY": env.langfuse_public_key,
        "LANGFUSE_SECRET_KEY": env.langfuse_secret_key,
    }
    missing = [name for name, value in parts.items() if not value]
    if not missing or len(missing) == len(parts):
        return []
    return [Error(f"{missing[0]}: must be set when the other LANGFUSE_ variables are", id="gateway.E004")]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
