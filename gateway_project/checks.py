"""Checks of variables against each other; `env.py` has looked at each by itself.

`manage.py check` shows them all (apps.py). At the gateway's start an error ends it with its one line, a warning is
logged. No Django here: the supervisor looks before anything is started.
"""

import logging
import re
from ipaddress import ip_address
from typing import NamedTuple

from gateway_project.env import BadEnvironment, Environment
from keys.kinds import KINDS

logger = logging.getLogger(__name__)

# RFC 7518, section 3.2: the key of HS256 has 32 bytes at least.
SHORTEST_SECRET = 32
SHORTEST_TOKEN = 16
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class Finding(NamedTuple):
    """`message` begins with the variable's name. An error keeps the gateway from starting."""

    id: str
    message: str

    @property
    def is_error(self) -> bool:
        return self.id.startswith("gateway.E")


def findings(env: Environment) -> list[Finding]:
    """What is wrong with `env` as a whole."""
    return [*_backend(env), *_exposure(env), *_secrets(env), *_langfuse(env), *_unknown(env)]


def refuse_errors(env: Environment) -> None:
    """Raises BadEnvironment for the first error."""
    for finding in findings(env):
        if finding.is_error:
            raise BadEnvironment(finding.message)


def log_warnings(env: Environment) -> None:
    for finding in findings(env):
        logger.warning(finding.message)


def _backend(env: Environment) -> list[Finding]:
    if not env.backend_kind:
        orphan = "BACKEND_BASE_URL" if env.backend_base_url else "BACKEND_API_KEY" if env.backend_api_key else ""
        return [Finding("gateway.E001", f"{orphan}: needs BACKEND_KIND beside it")] if orphan else []
    kind = KINDS.get(env.backend_kind)
    if kind is None:
        return [Finding("gateway.E002", f"BACKEND_KIND: must be one of {', '.join(KINDS)}")]
    if not kind.base_url and not env.backend_base_url and kind.wire != "demo":
        return [Finding("gateway.E003", f"BACKEND_BASE_URL: must be set, {kind.id} has no address of its own")]
    return []


def _exposure(env: Environment) -> list[Finding]:
    if _is_loopback(env.host):
        return []
    found: list[Finding] = []
    if env.debug:
        found.append(
            Finding("gateway.W001", "DEBUG: shows source and settings to everybody who can reach this gateway")
        )
    if not env.public_url:
        found.append(Finding("gateway.W002", "PUBLIC_URL: is unset, so requests by any name but localhost are refused"))
    return found


def _secrets(env: Environment) -> list[Finding]:
    found: list[Finding] = []
    if len(env.secret_key) < SHORTEST_SECRET:
        found.append(Finding("gateway.W003", f"SECRET_KEY: has fewer than {SHORTEST_SECRET} characters"))
    if 0 < len(env.metrics_token) < SHORTEST_TOKEN:
        found.append(Finding("gateway.W004", f"METRICS_TOKEN: has fewer than {SHORTEST_TOKEN} characters"))
    return found


def _langfuse(env: Environment) -> list[Finding]:
    parts = {
        "LANGFUSE_HOST": env.langfuse_host,
        "LANGFUSE_PUBLIC_KEY": env.langfuse_public_key,
        "LANGFUSE_SECRET_KEY": env.langfuse_secret_key,
    }
    missing = [name for name, value in parts.items() if not value]
    if not missing or len(missing) == len(parts):
        return []
    return [Finding("gateway.E004", f"{missing[0]}: must be set when the other LANGFUSE_ variables are")]


def _unknown(env: Environment) -> list[Finding]:
    return [Finding("gateway.W005", f".env: {_misspelt(*unknown)}") for unknown in env.unknown]


def _misspelt(name: str, similar: str) -> str:
    if not NAME.fullmatch(name):  # it could be a secret that was pasted without a name
        return "a line has no effect: what stands before its '=' is no variable's name"
    return f"{name} has no effect, there is no such variable" + (f"; is it {similar}?" if similar else "")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
