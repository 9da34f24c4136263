"""All settings, in sections, read from the environment. The defaults run on a laptop; `docs/operations.md` lists them."""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import dj_database_url
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from promptlab.lib import logs
from promptlab.lib.env import (
    env_allowed,
    env_bool,
    env_float,
    env_int,
    env_list,
    env_mail,
    env_secret,
    env_str,
    env_url,
)
from promptlab.lib.localsecret import local_secret
from promptlab.schedule import CLOCK

# --- Where things are -------------------------------------------------------------------------------------------------

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
UNDER_TEST = "pytest" in sys.modules
# Every run of the tests has a folder of its own: two at once never share a database file or a socket.
_FOLDER = env_str("PROMPTLAB_VAR") or (tempfile.mkdtemp(prefix="promptlab-tests-") if UNDER_TEST else BASE_DIR / "var")
VAR_DIR = Path(_FOLDER)
VAR_DIR.mkdir(parents=True, exist_ok=True)

# --- Who may talk to us -----------------------------------------------------------------------------------------------

DEBUG = env_bool("DEBUG", False)
SECRET_KEY_IS_LOCAL = not env_secret("SECRET_KEY")
SECRET_KEY = env_secret("SECRET_KEY") or local_secret(VAR_DIR / "secret_key")
API_KEY_PEPPER = (
    env_secret("API_KEY_PEPPER")
    or hmac.new(SECRET_KEY.encode(), b"promptlab.api-key-pepper", hashlib.sha256).hexdigest()
)
# The first signs receipts, all verify them.
SIGNING_KEYS = env_list("SIGNING_KEYS") or [SECRET_KEY]
# Applications know this one, to check the lock files in their images.
BUNDLE_KEY = env_secret("BUNDLE_KEY")
# The first seals secrets in the database, all open them.
ENCRYPTION_KEYS = [part.strip() for part in env_secret("ENCRYPTION_KEYS").split(",") if part.strip()] or [SECRET_KEY]
RECEIPT_DAYS = env_int("RECEIPT_DAYS", 180, minimum=1)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = frozenset(env_list("CORS_ALLOWED_ORIGINS"))
HTTPS = env_bool("HTTPS", False)

# --- Stores: nothing set means SQLite and a private Valkey under var/ ---------------------------------------------------

DATABASE_URL = env_url("DATABASE_URL", "", schemes=("sqlite", "postgres", "postgresql"))
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA mmap_size=134217728;"
    "PRAGMA journal_size_limit=27103364;PRAGMA cache_size=2000;"
)
DATABASES = {"default": dj_database_url.parse(DATABASE_URL or f"sqlite:///{VAR_DIR / 'promptlab.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE: two writers wait for each other instead of failing with "database is locked".
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": _SQLITE_PRAGMAS}
    # A file, not memory: the hot routes' threads and the tests' own processes must see the same rows.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"].get("OPTIONS", {}),
        "pool": {
            "min_size": 1,
            "max_size": env_int("DATABASE_POOL", 12, minimum=2),
            # A request may ask twice (its key, then its rows), and is told within two seconds that nobody answers.
            "timeout": 0.9,
            "max_waiting": 200,
            "max_lifetime": 1800,
        },
        "options": "-c statement_timeout=15000 -c lock_timeout=5000",
        "connect_timeout": 2,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
HOT_DB_THREADS = env_int("HOT_DB_THREADS", 4, minimum=1)
DATABASE_PREPARES = env_bool("DATABASE_PREPARES", True)


def private_socket() -> Path:
    """Return where the private Valkey listens: under var/, or in the system's temporary folder if that path is too long."""
    here = VAR_DIR / "valkey.sock"
    if len(str(here)) < 100:
        return here
    short = hashlib.sha256(str(VAR_DIR).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"promptlab-{short}.sock"


VALKEY_SOCKET = private_socket()
REDIS_IS_PRIVATE = not env_str("REDIS_URL")
REDIS_URL = env_url("REDIS_URL", f"unix://{quote(str(VALKEY_SOCKET))}", schemes=("redis", "rediss", "unix"))
REDIS_PREFIX = env_str("REDIS_PREFIX", "promptlab") + (f"-{os.getpid()}" if UNDER_TEST else "")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# --- Background work --------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = env_url(
    "CELERY_BROKER_URL",
    REDIS_URL.replace("unix://", "redis+socket://", 1),
    schemes=("redis", "rediss", "redis+socket", "sentinel"),
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "global_keyprefix": f"{REDIS_PREFIX}:",
}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "feedback.judge_answers": {"queue": "llm"},
    "feedback.*": {"queue": "ingest"},
    "chat.*": {"queue": "ingest"},
    "prompts.run_suite": {"queue": "llm"},
    "prompts.run_optimiser": {"queue": "llm"},
    "prompts.*": {"queue": "default"},
    "experiments.*": {"queue": "default"},
    "hooks.*": {"queue": "default"},
    "accounts.*": {"queue": "default"},
}
CELERY_TASK_TIME_LIMIT = 55
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = CLOCK
TASK_WAKE_UPS = env_bool("TASK_WAKE_UPS", not UNDER_TEST)

# --- The application --------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "promptlab.apps.PromptLabConfig",
    "promptlab.apps.PromptLabAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
    "promptlab.audit",
    "promptlab.accounts",
    "promptlab.llm",
    "promptlab.hooks",
    "prompts",
    "experiments",
    "promptlab.chat",
    "feedback",
]
MIDDLEWARE = [
    "promptlab.lib.middleware.RequestContext",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "promptlab.lib.middleware.Cors",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "promptlab.lib.middleware.ReadersLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "promptlab.urls"
ASGI_APPLICATION = "promptlab.asgi.application"
WSGI_APPLICATION = "promptlab.wsgi.application"
APPEND_SLASH = False
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
            ],
        },
    }
]

# --- People and sessions ----------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/admin/"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "429.html"
AXES_ENABLE_ADMIN = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env_bool("TRUST_PROXY", False) else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
CSRF_FAILURE_VIEW = "promptlab.pages.csrf_failure"

# --- Languages, times, static files -----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("es", _("Spanish"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "promptlab.lib.places"
USE_I18N = True
USE_TZ = True
TIME_ZONE = env_str("TZ", "UTC")
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "promptlab" / "static"]
_STATIC = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
    if UNDER_TEST or DEBUG
    else "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _STATIC},
}
WHITENOISE_USE_FINDERS = UNDER_TEST or DEBUG
# Without this every client of a test would list all static files first.
WHITENOISE_AUTOREFRESH = UNDER_TEST or DEBUG

# --- The API ----------------------------------------------------------------------------------------------------------

MAX_BODY_BYTES = env_int("MAX_BODY_BYTES", 4_000_000, minimum=1000)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
WEB_PROCESSES = env_int("WEB_PROCESSES", 1, minimum=1)
RATE_LIMIT_PER_HOUR = env_int("RATE_LIMIT_PER_HOUR", 100, minimum=1)
RATE_LIMIT_TRIES_PER_HOUR = env_int("RATE_LIMIT_TRIES_PER_HOUR", 100, minimum=1)
RATE_LIMIT_TOKENS_PER_MINUTE = env_int("RATE_LIMIT_TOKENS_PER_MINUTE", 0, minimum=0)
RATE_LIMIT_DELIVERY_PER_MINUTE = env_int("RATE_LIMIT_DELIVERY_PER_MINUTE", 600_000, minimum=1)
RATE_LIMIT_HEARTBEATS_PER_MINUTE = env_int("RATE_LIMIT_HEARTBEATS_PER_MINUTE", 60_000, minimum=1)
RATE_LIMIT_RECEIPT_PER_MINUTE = env_int("RATE_LIMIT_RECEIPT_PER_MINUTE", 20, minimum=1)
RATE_LIMIT_FEEDBACK_PER_MINUTE = env_int("RATE_LIMIT_FEEDBACK_PER_MINUTE", 60_000, minimum=1)
FEEDBACK_GROUP_MOST = env_int("FEEDBACK_GROUP_MOST", 100, minimum=1)
FEEDBACK_GROUP_WAIT_MS = env_int("FEEDBACK_GROUP_WAIT_MS", 0, minimum=0)
FEEDBACK_WAITING_MOST = env_int("FEEDBACK_WAITING_MOST", 10_000, minimum=1000)
MONTHS_KEPT = env_int("MONTHS_KEPT", 0, minimum=0)
DELIVERY_MEMORY_MB = env_int("DELIVERY_MEMORY_MB", 400, minimum=1)
EVENT_STREAMS = env_int("EVENT_STREAMS", 1000, minimum=1)
REVISION_CHECK_S = env_float("REVISION_CHECK_S", 0.5)
USAGE_FLUSH_S = env_float("USAGE_FLUSH_S", 0.0 if UNDER_TEST else 5.0)
REVISION_PUSH = env_bool("REVISION_PUSH", True)
RAMP_TIME_FACTOR = env_float("RAMP_TIME_FACTOR", 1.0, minimum=1.0)
WATCH = not UNDER_TEST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "promptlab.accounts.drf.KeyAuthentication",
        "promptlab.accounts.drf.PersonAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["promptlab.accounts.drf.IsSomebody"],
    "DEFAULT_THROTTLE_CLASSES": ["promptlab.accounts.drf.CallLimit"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer", "promptlab.accounts.browsing.ApiPage"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "promptlab.accounts.browsing.PagesForPeople",
    "DEFAULT_PARSER_CLASSES": ["promptlab.lib.drf.SafeJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "promptlab.lib.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "promptlab.lib.openapi.Schema",
    "EXCEPTION_HANDLER": "promptlab.lib.drf.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "PromptLab",
    "DESCRIPTION": "Write, version, review, deploy, split-test and take back prompts.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["promptlab.lib.openapi.only_v1"],
    "POSTPROCESSING_HOOKS": [
        "promptlab.lib.openapi.add_hot_routes",
        "promptlab.lib.openapi.add_errors",
        "promptlab.lib.openapi.forget_column_sizes",
        "promptlab.lib.openapi.add_examples",
    ],
}

# --- Language models --------------------------------------------------------------------------------------------------

LLM_DEFAULT_MODEL = env_str("LLM_DEFAULT_MODEL", "echo")
LLM_MODELS = env_list("LLM_MODELS")
OPENAI_API_KEY = env_secret("OPENAI_API_KEY")
OPENAI_BASE_URL = env_url("OPENAI_BASE_URL", "", schemes=("http", "https"))
LLM_ALLOW_REAL_CALLS = not UNDER_TEST
LLM_DEADLINE_S = env_float("LLM_DEADLINE_S", 60.0, minimum=1.0)
LLM_FIRST_TOKEN_TIMEOUT_S = env_float("LLM_FIRST_TOKEN_TIMEOUT_S", 20.0, minimum=0.1)
LLM_IDLE_TIMEOUT_S = env_float("LLM_IDLE_TIMEOUT_S", 30.0, minimum=0.1)
LLM_CONNECT_TIMEOUT_S = env_float("LLM_CONNECT_TIMEOUT_S", 3.0, minimum=0.1)
LLM_DRAINS = env_int("LLM_DRAINS", 100, minimum=0)
LLM_FORWARD_TRACEPARENT = env_bool("LLM_FORWARD_TRACEPARENT")
CHAT_STREAMS = env_int("CHAT_STREAMS", 2000, minimum=1)
CHAT_STREAMS_PER_KEY = env_int("CHAT_STREAMS_PER_KEY", 200, minimum=1)
METRICS_TOKEN = env_secret("METRICS_TOKEN")
GENERATE_MAX_TOKENS = env_int("GENERATE_MAX_TOKENS", 4096, minimum=1)
BUDGET_MAX_TOKENS = env_int("BUDGET_MAX_TOKENS", 4096, minimum=1)
SUITE_CALLS_AT_ONCE = env_int("SUITE_CALLS_AT_ONCE", 8, minimum=1)
SUITE_BUDGET_USD = env_float("SUITE_BUDGET_USD", 5.0, minimum=0.0)
OPTIMISER_BUDGET_USD = env_float("OPTIMISER_BUDGET_USD", 1.0, minimum=0.0)
DRIFT_HOUR = env_int("DRIFT_HOUR", 3, minimum=0)
GENERATE_CACHE_S = env_int("GENERATE_CACHE_S", 3600, minimum=1)
GENERATE_CACHE_MAX_S = env_int("GENERATE_CACHE_MAX_S", 86_400, minimum=1)
GENERATE_STALE_MAX_S = env_int("GENERATE_STALE_MAX_S", 604_800, minimum=1)
LLM_ALLOWED_PRIVATE = env_list("LLM_ALLOWED_PRIVATE")
LLM_KEY_HOSTS = env_list("LLM_KEY_HOSTS")
LLM_KEYS = env_allowed("LLM_KEY_VARIABLES", "LLM_KEY_*")
MESSAGE_LEASE_S = env_float("MESSAGE_LEASE_S", 30.0, minimum=1.0)

# --- Webhooks and mail ------------------------------------------------------------------------------------------------

WEBHOOK_ALLOWED_PRIVATE = env_list("WEBHOOK_ALLOWED_PRIVATE")
OUTBOX_KEEP_DAYS = env_int("OUTBOX_KEEP_DAYS", 30, minimum=1)
SITE_URL_IS_LOCAL = not env_str("SITE_URL")
SITE_URL = env_url("SITE_URL", "http://127.0.0.1:8000", schemes=("http", "https")).rstrip("/")
MAIL_SERVER = env_mail("EMAIL_URL")
EMAIL_BACKEND = MAIL_SERVER.backend
EMAIL_HOST, EMAIL_PORT = MAIL_SERVER.host, MAIL_SERVER.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = MAIL_SERVER.user, MAIL_SERVER.password
EMAIL_USE_TLS, EMAIL_USE_SSL = MAIL_SERVER.use_starttls, MAIL_SERVER.use_tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_str("EMAIL_FROM", "PromptLab <promptlab@localhost>")

# --- Logs -------------------------------------------------------------------------------------------------------------

LOG_LEVEL = env_str("LOG_LEVEL", "INFO").upper()
LOGGING_CONFIG = None
logs.configure(LOG_LEVEL if LOG_LEVEL in {"DEBUG", "INFO", "WARNING", "ERROR"} else "INFO", as_json=not DEBUG)
