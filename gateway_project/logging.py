"""Structured logs on stderr: JSON lines, or aligned text on a terminal. No line holds a secret.

Everything goes through the standard library's `logging`, libraries included, and then through one chain of structlog
processors, whose last step but one masks whatever looks like a credential.
"""

import logging.config
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

# Set for the time of a request; every line logged meanwhile carries it.
request_id: ContextVar[str] = ContextVar("request_id", default="")

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


def mask_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    masked_event: dict[str, Any] = _mask(dict(event))
    return masked_event


def add_request_id(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    if current := request_id.get():
        event.setdefault("request_id", current)
    return event


def _drop_color_message(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn repeats its message in colour
    return event


_BEFORE: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    add_request_id,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


LONGEST_TRACEBACK = 6000


def add_traceback(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the traceback as Python prints it, its end if it is long, without local variables."""
    event = structlog.processors.format_exc_info(logger, method, event)
    text = event.get("exception")
    if isinstance(text, str) and len(text) > LONGEST_TRACEBACK:
        event["exception"] = f"…{text[-LONGEST_TRACEBACK:]}"
    return event


def config(level: str, *, terminal: bool | None = None) -> dict[str, Any]:
    """`logging.config.dictConfig`'s argument; also Django's LOGGING."""
    terminal = sys.stderr.isatty() if terminal is None else terminal
    render: list[Any] = (
        [add_traceback, mask_secrets, structlog.dev.ConsoleRenderer()]
        if terminal
        else [add_traceback, mask_secrets, structlog.processors.JSONRenderer()]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*_BEFORE, _drop_color_message],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own defaults add handlers of their own to these.
            **{name: {"handlers": [], "propagate": True} for name in ("django", "django.server")},
            **{name: {"level": max(least, level, key=logging.getLevelName)} for name, least in QUIET.items()},
        },
    }


def configure(level: str) -> None:
    """Set up this process's logs. Django does the same through its LOGGING setting."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_BEFORE,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(config(level))
