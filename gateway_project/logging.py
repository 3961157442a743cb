"""Structured logs on stderr: JSON lines, or plain text on a terminal. No line holds a secret.

The standard library does it all: every library logs through it already, and a formatter of one's own costs a process
20 MB and a quarter of a second less than structlog with what that imports.
"""

import json
import logging.config
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

from gateway_project.lib.request_id import request_id

# Libraries that talk a lot at INFO, or that would log addresses and bodies at DEBUG.
QUIET = {
    "LiteLLM": "WARNING",
    "aiohttp": "WARNING",
    "amqp": "WARNING",
    "asyncio": "WARNING",
    "celery.beat": "WARNING",
    "celery.worker.strategy": "WARNING",
    "celery.app.trace": "WARNING",
    "daphne": "WARNING",
    "django.db.backends": "WARNING",
    "django.template": "WARNING",
    "httpcore": "WARNING",
    "httpx": "WARNING",
    "kombu": "ERROR",
    "openai": "WARNING",
    "psycopg": "WARNING",
    "urllib3": "WARNING",
    "uvicorn": "WARNING",
    "websockets": "WARNING",
}

MASK = "***"

_SECRETS = re.compile(
    r"""
    (?P<keep>
        ://[^\s/:@]*:(?=[^\s/@]+@)               # a password in a URL
      | (?i:\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?i:bearer|basic)\s+)?
      | \bBearer\s+(?=\S{6})
      | (?i:(?:api[_-]?key|password|secret|token)["']?\s*[:=]\s*["']?)
    )
    [^\s"',;&@]+
  | \bgw_[0-9A-Za-z]{16,}                       # a gateway key
  | \b(?:sk|pk|rk|gsk|xai|hf|pplx|lf)[-_][0-9A-Za-z_-]{12,}             # providers' keys
  | \bAIza[0-9A-Za-z_-]{20,}                    # Google
  | \beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*                # a JWT
  | \bgAAAA[0-9A-Za-z_=-]{40,}                  # Fernet
    """,
    re.VERBOSE,
)

_SECRET_FIELDS = re.compile(
    r"api_?key|authorization|cookie|password|secret|(access|refresh|csrf|metrics)_?token|dsn", re.I
)


def masked(text: str) -> str:
    """`text` with everything that looks like a credential replaced by `***`."""
    return _SECRETS.sub(lambda found: f"{found['keep'] or ''}{MASK}", text)


def _mask(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bytes):
        return masked(value.decode(errors="replace"))
    if depth < 6 and isinstance(value, Mapping):
        return {
            str(name): MASK if _SECRET_FIELDS.search(str(name)) and item else _mask(item, depth + 1)
            for name, item in value.items()
        }
    if depth < 6 and isinstance(value, list | tuple | set | frozenset):
        return [_mask(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(str(value))


# What every record has; anything else came as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

LONGEST_TRACEBACK = 6000


class Structured(logging.Formatter):
    """One line a record: event, level, logger, timestamp, the request's id, `extra`, and the traceback if any."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._render = _text if terminal else _json

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
        }
        if current := request_id.get():
            event["request_id"] = current
        event.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)[-LONGEST_TRACEBACK:]
        return self._render(_mask(event))


def _json(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)


def _text(event: dict[str, Any]) -> str:
    clock = event.pop("timestamp")[11:19]
    traceback = event.pop("exception", "")
    level, logger, message = (event.pop(name) for name in ("level", "logger", "event"))
    extras = "".join(f"  {name}={value}" for name, value in event.items())
    return f"{clock} {level:<8} {message}{extras}  ({logger})" + (f"\n{traceback}" if traceback else "")


class CallersFault(logging.Filter):
    """An answer of 4xx is news, no warning, and has no traceback: nothing in the gateway is wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not 400 <= getattr(record, "status_code", 500) < 500:
            return True
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        return logging.getLogger(record.name).isEnabledFor(logging.INFO)


def config(level: str, *, terminal: bool | None = None) -> dict[str, Any]:
    """`logging.config.dictConfig`'s argument."""
    terminal = sys.stderr.isatty() if terminal is None else terminal
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"callers_fault": {"()": CallersFault}},
        "formatters": {"structured": {"()": Structured, "terminal": terminal}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own defaults add handlers of their own to these.
            **{name: {"handlers": [], "propagate": True} for name in ("django", "django.server")},
            "django.request": {"filters": ["callers_fault"]},
            # error_pages.py says it in the gateway's words; Django's name a setting that an operator does not have.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            **{name: {"level": max(least, level, key=logging.getLevelName)} for name, least in QUIET.items()},
        },
    }


def configure(level: str) -> None:
    """Set up this process's logs. Django does it through its LOGGING_CONFIG setting."""
    logging.config.dictConfig(config(level))
