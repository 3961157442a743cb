"""The environment, read once and typed. No other module reads `os.environ`.

Every variable of the product is a field of `Environment`; a value that does not parse raises
`BadEnvironment`, whose message is one line that names the variable.
"""

import base64
import contextlib
import functools
import os
import secrets
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway_project import env_values as values

if TYPE_CHECKING:
    from dotenv.parser import Binding

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
JWT_ALGORITHMS = ("HS256", "HS384", "HS512")
DEVICES = ("auto", "cpu", "cuda", "mps")


class BadEnvironment(Exception):
    """A variable's value cannot be used. `str()` is one line: `NAME: what is wrong`."""


@contextlib.contextmanager
def exit_on_bad_environment() -> Iterator[None]:
    """Turn `BadEnvironment` into one line on stderr and exit status 2."""
    try:
        yield
    except BadEnvironment as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


@dataclass(frozen=True, kw_only=True, repr=False)
class Environment:
    """All settings an operator has; the names are the variables' own, in lower case."""

    host: str
    port: int
    public_url: str
    email_url: str
    debug: bool
    data_dir: Path
    database_url: str
    redis_url: str
    celery_broker_url: str
    secret_key: str
    encryption_keys: tuple[str, ...]
    jwt_algorithm: str
    jwt_expiration: int
    cache_max_size: int
    cache_max_bytes: int
    cache_ttl: int
    semantic_cache_max_size: int
    semantic_cache_max_bytes: int
    rate_limit_requests: int
    rate_limit_window: int
    web_workers: int
    log_level: str
    signup_enabled: bool
    allowed_private_hosts: tuple[str, ...]
    openai_api_key: str
    anthropic_api_key: str
    gemini_api_key: str
    ollama_base_url: str
    backend_kind: str
    backend_base_url: str
    backend_api_key: str
    embedding_text_model: str
    embedding_image_model: str
    embedding_audio_model: str
    embedding_rerank_model: str
    embedding_device: str
    embedding_idle_seconds: int
    langfuse_host: str
    langfuse_public_key: str
    langfuse_secret_key: str
    otel_exporter_otlp_endpoint: str
    server: str
    limits_fail: str
    retention_days: int
    spool_max_bytes: int
    max_upload_bytes: int
    max_workspace_bytes: int
    metrics_token: str
    trusted_proxies: tuple[str, ...]
    cors_allowed_origins: tuple[str, ...]
    # Names in `.env` that are no variable of the gateway, each with the variable that it resembles, or "".
    unknown: tuple[tuple[str, str], ...]

    @property
    def embedded(self) -> bool:
        """True when the product runs its own Postgres in `data_dir`."""
        return not self.database_url

    @property
    def own_url(self) -> str:
        """Where this machine finds the web process."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"http://{host}:{self.port}"


class _Reader:
    """Reads one variable after the other and names the one that is wrong."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self.source = source
        self.known: set[str] = set()

    def __call__(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        self.known.add(name)
        raw = self.source.get(name, "").strip()
        try:
            if not raw.isprintable():
                raise ValueError("must be one line of printable characters")
            return parse(raw or default)
        except ValueError as error:
            raise BadEnvironment(f"{name}: {error}") from None


def _read_dotenv(path: Path) -> dict[str, str]:
    """The pairs in `path`, or nothing when there is no such file (python-dotenv's syntax)."""
    if not path.is_file():
        return {}
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8") as stream:
            wrong = next((found.original.line for found in parse_stream(stream) if _is_no_pair(found)), None)
    except (OSError, UnicodeDecodeError):
        raise BadEnvironment(f".env: {path} cannot be read") from None
    if wrong is not None:
        raise BadEnvironment(f".env: line {wrong} of {path} is not NAME=value")
    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def _is_no_pair(found: "Binding") -> bool:
    """True for a line that is neither NAME=value nor a comment nor blank."""
    return found.error or (found.key is not None and found.value is None)


def _similar(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.8)), "")


def _make_data_dir(raw: str) -> Path:
    path = Path(raw).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{path} is a file, not a folder") from None
    except OSError as error:
        raise ValueError(f"cannot make {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{path} is not writable")
    return path


def _kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`, made once with mode 0600. Two processes that race get the same one."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as stream:
                stream.write(make())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        except OSError as error:
            raise BadEnvironment(f"DATA_DIR: cannot write {path}: {error.strerror}") from None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise BadEnvironment(f"DATA_DIR: cannot read {path}") from None


def new_encryption_key() -> str:
    """A fresh key for `ENCRYPTION_KEY`: 32 random bytes in url-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def load(source: Mapping[str, str], base_dir: Path) -> Environment:
    """Read `.env` in `base_dir` beneath `source` (the process's variables win) and check every value.

    Raises `BadEnvironment`. Makes `DATA_DIR`, and in it the two secrets when they are unset and the
    database is embedded.
    """
    dotenv = _read_dotenv(base_dir / ".env")
    read = _Reader({**dotenv, **source})
    data_dir = read("DATA_DIR", str(base_dir / "data"), _make_data_dir)
    database_url = read("DATABASE_URL", "", values.url("postgres", "postgresql"))
    secret_key = read("SECRET_KEY", "", values.text)
    encryption_keys = read("ENCRYPTION_KEY", "", values.fernet_keys)
    if database_url and not secret_key:
        raise BadEnvironment("SECRET_KEY: must be set when DATABASE_URL is")
    if database_url and not encryption_keys:
        raise BadEnvironment("ENCRYPTION_KEY: must be set when DATABASE_URL is")
    secret_key = secret_key or _kept_secret(data_dir / "secret_key", lambda: secrets.token_urlsafe(48))
    if not encryption_keys:
        kept = data_dir / "encryption_key"
        try:
            encryption_keys = values.fernet_keys(_kept_secret(kept, new_encryption_key) or "empty")
        except ValueError as error:
            raise BadEnvironment(f"ENCRYPTION_KEY: the one kept in {kept} is damaged: {error}") from None
    redis_url = read("REDIS_URL", "", values.url("redis", "rediss", "unix"))
    web_workers = read("WEB_WORKERS", "1", values.integer(1, 256))
    if web_workers > 1 and not redis_url:
        raise BadEnvironment("WEB_WORKERS: more than one needs REDIS_URL, where they share limits and caches")
    return Environment(
        host=read("HOST", "127.0.0.1", values.host),
        port=read("PORT", "8000", values.integer(1, 65535)),
        public_url=read("PUBLIC_URL", "", values.url("http", "https")).rstrip("/"),
        email_url=read("EMAIL_URL", "", values.email_url),
        debug=read("DEBUG", "false", values.boolean),
        data_dir=data_dir,
        database_url=database_url,
        redis_url=redis_url,
        celery_broker_url=read("CELERY_BROKER_URL", "", values.any_url) or redis_url,
        secret_key=secret_key,
        encryption_keys=encryption_keys,
        jwt_algorithm=read("JWT_ALGORITHM", "HS256", values.one_of(*JWT_ALGORITHMS)),
        jwt_expiration=read("JWT_EXPIRATION", "86400", values.integer(60, 31_536_000)),
        cache_max_size=read("CACHE_MAX_SIZE", "1000", values.integer(0, 10_000_000)),
        cache_max_bytes=read("CACHE_MAX_BYTES", str(64 * 1024 * 1024), values.integer(0, 2**40)),
        semantic_cache_max_size=read("SEMANTIC_CACHE_MAX_SIZE", "10000", values.integer(0, 1_000_000)),
        semantic_cache_max_bytes=read("SEMANTIC_CACHE_MAX_BYTES", str(128 * 1024 * 1024), values.integer(0, 2**40)),
        cache_ttl=read("CACHE_TTL", "3600", values.integer(1, 31_536_000)),
        rate_limit_requests=read("RATE_LIMIT_REQUESTS", "60", values.integer(0, 1_000_000_000)),
        rate_limit_window=read("RATE_LIMIT_WINDOW", "60", values.integer(1, 86_400)),
        web_workers=web_workers,
        log_level=read("LOG_LEVEL", "INFO", values.one_of(*LOG_LEVELS, fold=str.upper)),
        signup_enabled=read("SIGNUP_ENABLED", "true", values.boolean),
        allowed_private_hosts=read(
            "ALLOWED_PRIVATE_HOSTS", "" if database_url else "localhost,127.0.0.1,::1", values.words
        ),
        openai_api_key=read("OPENAI_API_KEY", "", values.credential),
        anthropic_api_key=read("ANTHROPIC_API_KEY", "", values.credential),
        gemini_api_key=read("GEMINI_API_KEY", "", values.credential),
        ollama_base_url=read("OLLAMA_BASE_URL", "", values.url("http", "https")),
        backend_kind=read("BACKEND_KIND", "", values.text),
        backend_base_url=read("BACKEND_BASE_URL", "", values.url("http", "https")),
        backend_api_key=read("BACKEND_API_KEY", "", values.credential),
        embedding_text_model=read("EMBEDDING_TEXT_MODEL", "BAAI/bge-m3", values.text),
        embedding_image_model=read("EMBEDDING_IMAGE_MODEL", "google/siglip-so400m-patch14-384", values.text),
        embedding_audio_model=read("EMBEDDING_AUDIO_MODEL", "laion/clap-htsat-unfused", values.text),
        embedding_rerank_model=read("EMBEDDING_RERANK_MODEL", "", values.text),
        embedding_device=read("EMBEDDING_DEVICE", "auto", values.one_of(*DEVICES)),
        embedding_idle_seconds=read("EMBEDDING_IDLE_SECONDS", "1800", values.integer(0, 31_536_000)),
        langfuse_host=read("LANGFUSE_HOST", "", values.url("http", "https")),
        langfuse_public_key=read("LANGFUSE_PUBLIC_KEY", "", values.credential),
        langfuse_secret_key=read("LANGFUSE_SECRET_KEY", "", values.credential),
        otel_exporter_otlp_endpoint=read("OTEL_EXPORTER_OTLP_ENDPOINT", "", values.url("http", "https")),
        server=read("SERVER", "uvicorn", values.one_of("uvicorn", "daphne")),
        limits_fail=read("LIMITS_FAIL", "local", values.one_of("local", "closed")),
        retention_days=read("RETENTION_DAYS", "0", values.integer(0, 36_500)),
        spool_max_bytes=read("SPOOL_MAX_BYTES", str(1024**3), values.integer(1024**2, 2**50)),
        max_upload_bytes=read("MAX_UPLOAD_BYTES", str(100 * 1024**2), values.integer(1024, 2**40)),
        max_workspace_bytes=read("MAX_WORKSPACE_BYTES", str(10 * 1024**3), values.integer(0, 2**50)),
        metrics_token=read("METRICS_TOKEN", "", values.credential),
        trusted_proxies=read("TRUSTED_PROXIES", "", values.networks),
        cors_allowed_origins=read("CORS_ALLOWED_ORIGINS", "", values.origins),
        # Last, when every variable was asked for.
        unknown=tuple((name, _similar(name, read.known)) for name in dotenv if name not in read.known),
    )


@functools.cache
def current() -> Environment:
    """This process's environment. Raises `BadEnvironment`."""
    return load(os.environ, BASE_DIR)
