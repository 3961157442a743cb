"""Django's settings, read from top to bottom. Every value an operator may set comes from `env.py`."""

import os
import sys
from datetime import timedelta
from ipaddress import ip_network
from urllib.parse import urlsplit

from corsheaders.defaults import default_headers
from environ import Env as UrlParser

from gateway_project import embedded
from gateway_project.env import BASE_DIR, current
from gateway_project.socket_paths import embed_socket

ENV = current()

# --- The web -------------------------------------------------------------------------------------

DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key
ROOT_URLCONF = "gateway_project.urls"
ASGI_APPLICATION = "gateway_project.asgi.application"

PUBLIC_URL = ENV.public_url or f"http://{'localhost' if ENV.host in ('0.0.0.0', '::') else ENV.host}:{ENV.port}"  # noqa: S104
_public = urlsplit(PUBLIC_URL)
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", ENV.host]
if ENV.public_url and _public.hostname:
    ALLOWED_HOSTS.append(_public.hostname)
TRUSTED_PROXIES = tuple(ip_network(network) for network in ENV.trusted_proxies)
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"] if ENV.public_url else []

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _public.scheme == "https"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CORS_ALLOWED_ORIGINS = list(ENV.cors_allowed_origins)
CORS_URLS_REGEX = r"^/(api|v1|documents|chat|search)(/|$)"
CORS_ALLOW_HEADERS = [
    *default_headers, "idempotency-key", "x-api-key", "x-gateway-cache", "x-gateway-privacy-mode", "x-request-id",
    "x-workspace-id",
    # What OpenAI's SDK sends from a browser.
    *(f"x-stainless-{about}" for about in (
        "arch", "lang", "os", "package-version", "retry-count", "runtime", "runtime-version", "timeout",
    )),
]  # fmt: skip
CORS_EXPOSE_HEADERS = [
    "x-request-id", "x-gateway-provider", "x-gateway-model", "x-gateway-complexity", "x-gateway-cache",
    "x-gateway-attempts", "x-gateway-privacy", "x-gateway-cost-usd", "x-gateway-overhead-ms", "retry-after",
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
    "idempotent-replayed", "original-request",
]  # fmt: skip

INSTALLED_APPS = [
    # It replaces `runserver`; elsewhere its import of Twisted would cost half a second and 20 MB for nothing.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "corsheaders",
    "django_htmx",
    "template_partials",
    "ninja",
    "gateway_project",
    "accounts",
    "keys",
    "rag",
    "analytics",
    "routing",
]

# `/v1` does not pass through these: see gateway_project/asgi.py.
MIDDLEWARE = [
    "gateway_project.request_ids.assign_request_id",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "gateway_project.csp.content_security_policy",
    "gateway_project.error_pages.method_not_allowed",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.origin.remember_request",
    "gateway_project.freshness.in_force_when_answered",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "gateway_project.context.console",
            ],
            "builtins": ["gateway_project.lib.console_tags"],
        },
    },
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, object]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "gateway_project.lib.static.VersionedStaticFiles"},
}
# Served from where they lie, with nothing to collect; a URL changes with its file, so a browser may keep it.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 86_400

# Seconds after which a client that reads nothing of its answer is given up.
CLIENT_STALL_SECONDS = 60.0

# --- Data ----------------------------------------------------------------------------------------

DATA_DIR = ENV.data_dir
DATABASE_DSN = ENV.database_url or embedded.dsn(ENV.data_dir)
DATABASES = {"default": UrlParser.db_url_config(DATABASE_DSN)}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"]["CONN_MAX_AGE"] = 0
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 10, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES: dict[str, dict[str, object]]
if ENV.redis_url:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": ENV.redis_url}}
    CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [ENV.redis_url]}}
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            # Counters of limits live here: a client must not be able to push them out by making many.
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Where this machine's web process answers its workers.
OWN_URL = ENV.own_url
REDIS_URL = ENV.redis_url
WEB_WORKERS = ENV.web_workers

# Tasks: see celeryconfig.py.
CELERY_BROKER_URL = ENV.celery_broker_url or "filesystem://"
BROKER_DIR = ENV.data_dir / "broker"

# --- Mail ----------------------------------------------------------------------------------------

# Without EMAIL_URL nothing is sent: a reset link in a log would be a secret in a log.
if ENV.email_url:
    vars().update(UrlParser.email_url_config(ENV.email_url))
else:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = f"gateway@{_public.hostname}"

# --- Accounts ------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
CSRF_FAILURE_VIEW = "gateway_project.error_pages.csrf_failure"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "accounts.hashers.Argon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SIGNUP_ENABLED = ENV.signup_enabled
JWT_ALGORITHM = ENV.jwt_algorithm
JWT_ACCESS_LIFETIME = timedelta(seconds=ENV.jwt_expiration)
JWT_REFRESH_LIFETIME = timedelta(days=30)
# At most so many in so many seconds. Only what fails counts against a login; an office shares one address.
LOGIN_FAILURES_PER_ACCOUNT = (10, 300)
LOGIN_FAILURES_PER_ADDRESS = (100, 300)
SIGNUPS_PER_ADDRESS = (60, 600)
SIGNUPS_PER_ACCOUNT = (10, 600)
# Adding a member tells whether an address has an account.
UNKNOWN_MEMBERS_PER_USER = (30, 600)
LIMITS_FAIL = ENV.limits_fail
# Seconds without a sign of life after which what a process has reserved of shared budgets is free again.
BUDGETS_LEASE = 10.0

# --- The cache of answers ------------------------------------------------------------------------

# What each web process holds at most (0 answers: there is no cache), and for how many seconds an answer is given again.
CACHE_MAX_SIZE = ENV.cache_max_size
CACHE_MAX_BYTES = ENV.cache_max_bytes
CACHE_TTL = ENV.cache_ttl
# What a workspace may hold in the semantic cache, in Postgres.
SEMANTIC_CACHE_MAX_SIZE = ENV.semantic_cache_max_size
SEMANTIC_CACHE_MAX_BYTES = ENV.semantic_cache_max_bytes

# --- The ledger ----------------------------------------------------------------------------------

# Days after which a month of records goes, once all of it is older; 0 is never. Sums by day stay.
RETENTION_DAYS = ENV.retention_days
# Bytes of records that may wait on this machine's disk while Postgres is away, before requests are refused.
SPOOL_MAX_BYTES = ENV.spool_max_bytes

# What a request would do may be asked as often as this; a preview asks with every pause in typing.
EXPLAINS_PER_USER = (300, 60)

# --- Embedding models ----------------------------------------------------------------------------

# A name of the hub, or a folder of this machine. The text model falls back where its weights are nowhere.
EMBEDDING_TEXT_MODEL = ENV.embedding_text_model
EMBEDDING_IMAGE_MODEL = ENV.embedding_image_model
EMBEDDING_AUDIO_MODEL = ENV.embedding_audio_model
# The cross-encoder that search results are put in order by; empty: none.
EMBEDDING_RERANK_MODEL = ENV.embedding_rerank_model
EMBEDDING_DEVICE = ENV.embedding_device
# A model that nobody asked for so long gives its memory back; 0 is never.
EMBEDDING_IDLE_SECONDS = ENV.embedding_idle_seconds
# Models that were put there by hand: MODELS_DIR/<name>, the name's "/" being a folder.
MODELS_DIR = ENV.data_dir / "models"
# Where the worker that holds the models is asked.
EMBED_SOCKET = embed_socket(ENV.data_dir)

# --- Documents -----------------------------------------------------------------------------------

# Of one uploaded file, or of what a URL leads to.
MAX_UPLOAD_BYTES = ENV.max_upload_bytes
# Of all uploaded files of one workspace; 0: as many as there are.
MAX_WORKSPACE_BYTES = ENV.max_workspace_bytes
UPLOADS_DIR = ENV.data_dir / "uploads"
STORAGES["documents"] = {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {
        "location": UPLOADS_DIR / "documents",
        "file_permissions_mode": 0o600,
        "directory_permissions_mode": 0o700,
    },
}
# Where an upload is while it comes in.
FILE_UPLOAD_TEMP_DIR = UPLOADS_DIR / "arriving"
FILE_UPLOAD_TEMP_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
FILE_UPLOAD_PERMISSIONS = 0o600
# A folder that is dropped.
DATA_UPLOAD_MAX_NUMBER_FILES = 500

# --- Keys ----------------------------------------------------------------------------------------

# Of a key that has no rate_limit_requests of its own; 0 is no limit.
RATE_LIMIT_REQUESTS = ENV.rate_limit_requests
# Of every limit that has no window of its own, in seconds.
RATE_LIMIT_WINDOW = ENV.rate_limit_window
# Newest first; keys/vault.py seals with the first and opens with any.
ENCRYPTION_KEYS = ENV.encryption_keys
# Hosts that a provider's base_url may name although they are private.
ALLOWED_PRIVATE_HOSTS = ENV.allowed_private_hosts
# Those that an address in a client's request, an image's say, may name: none.
CLIENTS_PRIVATE_HOSTS: tuple[str, ...] = ()
# Where the providers that the operator named by variables are; nobody else may name these.
ENVIRONMENT_HOSTS = [
    f"[{url.hostname}]:{url.port or (443 if url.scheme == 'https' else 80)}"
    for url in map(urlsplit, (ENV.ollama_base_url, ENV.backend_base_url))
    if url.hostname
]

# --- Providers -----------------------------------------------------------------------------------

# Seconds to connect, to the first byte, between two bytes, and in all, where no policy says otherwise.
UPSTREAM_TIMEOUTS = {"connect": 5.0, "first_byte": 120.0, "idle": 60.0, "total": 600.0}

# --- Language and time ---------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True

# --- Logs ----------------------------------------------------------------------------------------

LOGGING_CONFIG = "gateway_project.logging.configure"
LOGGING = ENV.log_level

# --- Libraries that must be told before they are imported ----------------------------------------

# Whether other processes than this web process may change keys, which this one then hears of a moment later.
SEVERAL_PROCESSES = ENV.web_workers > 1 or not ENV.embedded
METRICS_TOKEN = ENV.metrics_token
# With several web processes prometheus_client keeps its figures in files, which `prepare` empties at a start.
METRICS_FOLDER = ENV.data_dir / "metrics" if ENV.web_workers > 1 else None
if METRICS_FOLDER is not None:
    METRICS_FOLDER.mkdir(exist_ok=True)
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(METRICS_FOLDER))

# litellm would fetch its price map from the network at import; its packaged copy is enough.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
# The worker that embeds shares its cores with Postgres and the web process: threads that spin while they wait for
# each other make a batch take several times as long there. Rust's own threads would come on top of torch's.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# A web process imports Celery when it sends its first task; tasks then find the broker by this.
os.environ.setdefault("CELERY_CONFIG_MODULE", "gateway_project.celeryconfig")
