"""Django's settings, read from the environment; `docs/configuration.md` lists every variable.

There is one settings module: environments differ by variables only.
"""

import os
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF

from autovibe import __version__
from autovibe.environment import choice, counts, database, destinations, flag, number, pairs, prices, secret

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = __version__

# --- Django -----------------------------------------------------------------------------------------------

DEBUG = flag("DEBUG", default=False)
SECRET_KEY = secret("SECRET_KEY", default="not-secret-good-for-checks-only")
SECRET_KEY_FALLBACKS = secret(
    "SECRET_KEY_FALLBACKS"
).split()  # earlier ones: what they signed or sealed still opens
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]

INSTALLED_APPS = [
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "autovibe.apps.Administration",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_htmx",
    "django_q",
    "drf_spectacular",
    "guardian",
    "rest_framework",
    "template_partials",
    "autovibe",
    # Our rooms, lowest first.
    "proxmox",
    "events",
    "projects",
    "operations",
    "budgets",
    "guests",
    "checkpoints",
    "machines",
    "gateway",
    "accounts",
    "hubs",
    "dashboard",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "autovibe.security.HeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "autovibe.compression.PagesGZipMiddleware",
    "autovibe.requests.RequestIdMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "dashboard.preferences.ZoneMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.requirement.SecondFactorMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "autovibe.repeats.RepeatsMiddleware",
]

MESSAGE_STORAGE = "autovibe.repeats.Messages"
ROOT_URLCONF = "autovibe.urls"
ASGI_APPLICATION = "autovibe.asgi.application"
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
                "dashboard.context.shell",
            ],
        },
    }
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "autovibe.bundles.BundlingStorage"
    },
}

# --- Database, queue, doorbell: one PostgreSQL carries all three -----------------------------------------------

PAGES_AT_ONCE = max(1, int(number("PAGES_AT_ONCE", default=16)))
# Those that look again by themselves come on top, and what is sent bit by bit keeps its connection until it is sent.
_POOL = 3 * PAGES_AT_ONCE if os.environ.get("AUTOVIBE_PROCESS") == "web" else 0
DATABASES = {
    "default": database(
        os.environ.get("DATABASE_URL", "postgres://autovibe@127.0.0.1:5432/autovibe"), pool=_POOL
    )
}
REDIS_URL = secret("REDIS_URL")  # set: Redis carries queue and doorbell instead, for those who outgrow it

# Retry is decided by the operation row, never by the queue: failures are acknowledged, and `retry` stays far
# above `timeout` plus the longest wait, so that the broker cannot hand a running task to a second worker.
Q_CLUSTER: dict[str, object] = {
    "name": "autovibe",
    "label": "Task queue",
    "workers": int(number("WORKERS", default=4)),
    "recycle": 5000,
    "timeout": 300,
    "retry": 3600,
    "ack_failures": True,
    "max_attempts": 1,
    "bulk": 1,
    "queue_limit": 4,
    "save_limit": -1,
    "catch_up": False,
    "poll": 5,
    **(
        {"redis": REDIS_URL}
        if REDIS_URL
        else {"orm": "default", "broker_class": "operations.broker.PostgresBroker"}
    ),
}
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
    if REDIS_URL
    else {"BACKEND": "events.layer.NotifyLayer"}
}

# --- People and permissions -----------------------------------------------------------------------------------

AUTH_USER_MODEL = "projects.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: nobody holds a permission without signing in
TOKEN_DAYS_MAX = max(1, int(number("TOKEN_DAYS_MAX", default=365)))  # that an API token can live
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard:fleet"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.Watch"},  # refuses none: it hears of every change
]
PASSWORD_RESET_TIMEOUT = 3600  # seconds
SESSION_ENGINE = "accounts.sessions"
# Attempts to sign in are counted here: shared by all web processes, and kept over a restart.
CACHES: dict[str, dict[str, object]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    },
    # What pages reckon and would reckon again: each process keeps its own, which costs no query.
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# --- Signing in: docs/signing-in.md -----------------------------------------------------------------------------

REQUIRE_MFA = choice("REQUIRE_MFA", "nobody", "admins", "all") or "nobody"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_FORMS = {"login": "accounts.forms.LoginForm"}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
ACCOUNT_USERNAME_BLACKLIST = ["system", "nobody"]  # who the log of events says did what no person did
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = "autovibe: "
ACCOUNT_SESSION_REMEMBER = True
# Per address, and per name: strangers share one count for a name, a browser that its owner has used has its own.
ACCOUNT_RATE_LIMITS = {"login_failed": "30/5m/ip,10/5m/key"}
ACCOUNT_REAUTHENTICATION_TIMEOUT = int(60 * number("REAUTHENTICATION_MINUTES", default=10))
MFA_ADAPTER = "accounts.adapters.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "autovibe"
MFA_TOTP_TOLERANCE = 1  # steps of half a minute that a clock may be off
# One provider, a company's own. Its callback is /account/oidc/company/login/callback/.
OIDC_NAME = os.environ.get("OIDC_NAME", "the company account")
OIDC_ISSUER = os.environ.get("OIDC_ISSUER", "")
OIDC_SIGN_UP = flag("OIDC_SIGN_UP", default=False)
OIDC_ALLOWED_DOMAINS = os.environ.get("OIDC_ALLOWED_DOMAINS", "").lower().replace(",", " ").split()
OIDC_GROUPS_CLAIM = os.environ.get("OIDC_GROUPS_CLAIM", "")
OIDC_GROUPS = pairs("OIDC_GROUPS")  # of the claim, to ours
SOCIALACCOUNT_ADAPTER = "accounts.adapters.CompanyAdapter"
SOCIALACCOUNT_PROVIDERS: dict[str, object] = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "company",
                "name": OIDC_NAME,
                "client_id": os.environ.get("OIDC_CLIENT_ID", ""),
                "secret": secret("OIDC_CLIENT_SECRET"),
                "settings": {
                    "server_url": OIDC_ISSUER,
                    "scope": os.environ.get("OIDC_SCOPES", "openid profile email").split(),
                },
            }
        ]
        if OIDC_ISSUER
        else [],
    }
}

# --- Mail: none is sent without a host ----------------------------------------------------------------------------

EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_PORT = int(number("EMAIL_PORT", default=587))
EMAIL_HOST_USER = os.environ.get("EMAIL_USER", "")
EMAIL_HOST_PASSWORD = secret("EMAIL_PASSWORD")
EMAIL_SECURITY = choice("EMAIL_SECURITY", "starttls", "tls", "none") or "starttls"
EMAIL_USE_TLS, EMAIL_USE_SSL = EMAIL_SECURITY == "starttls", EMAIL_SECURITY == "tls"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("EMAIL_FROM", "autovibe@localhost")
ACCOUNT_EMAIL_NOTIFICATIONS = bool(EMAIL_HOST)

# --- HTTP -----------------------------------------------------------------------------------------------------

HTTPS = flag("HTTPS", default=False)  # set behind a TLS proxy: cookies become secure
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # forms and htmx carry the token themselves
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]  # asked from beside, without the proxy
SECURE_HSTS_SECONDS = int(number("HSTS_SECONDS", default=365 * 24 * 3600 if HTTPS else 0))
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# What else the domain serves, and whether browsers should know it beforehand, is not for us to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
X_FRAME_OPTIONS = "DENY"
# Pages show what agents wrote; nothing inline may run. Violations are reported nowhere: anybody could write there.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024**2  # of any request; autovibe.limits says less, for most paths
DATA_UPLOAD_MAX_NUMBER_FILES = 100

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "projects.jwt_authentication.JwtAuthentication",
        "projects.authentication.TokenAuthentication",
        "machines.authentication.MachineAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["autovibe.parsing.Json"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "URL_FORMAT_OVERRIDE": None,  # `Accept` says it
    "DEFAULT_SCHEMA_CLASS": "autovibe.schema.Schema",
    "DEFAULT_PAGINATION_CLASS": "autovibe.pagination.NewestFirst",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "autovibe.problems.handle",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Calls a minute of one token, or of one address without a token; 0: any number.
API_RATE = max(0, int(number("API_RATE", default=1200)))
SPECTACULAR_SETTINGS = {
    "TITLE": "autovibe",
    "DESCRIPTION": "Run AI coding agents in machines, under budgets, with a checkpoint around every model call.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "autovibe.schema.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "CheckpointStateEnum": "checkpoints.states.State",
        "CheckpointKindEnum": "checkpoints.models.Checkpoint.Kind",
        "DepthEnum": "checkpoints.states.Depth",
        "MachineStateEnum": "machines.states.State",
        "RoleEnum": "projects.roles.Role",
        "TokenStateEnum": ["alive", "expired", "revoked"],
        "OperationStatusEnum": "operations.models.Status",
    },
}

# --- Audit: docs/audit.md -----------------------------------------------------------------------------------------

TRUSTED_PROXIES = int(number("TRUSTED_PROXIES", default=0))  # of ours, in front of the web process
AUDIT_KEY = secret("AUDIT_KEY").split()  # signs heads, instead of SECRET_KEY; then earlier ones
AUDIT_HEADS = os.environ.get("AUDIT_HEADS", "") or str(
    Path(os.environ.get("AUTOVIBE_VAR") or BASE_DIR / "var") / "audit-heads.jsonl"
)

# --- Proxmox --------------------------------------------------------------------------------------------------

PROXMOX_URL = os.environ.get("PROXMOX_URL", "http://127.0.0.1:8006")  # several nodes: separated by commas
PROXMOX_TOKEN = secret("PROXMOX_TOKEN", default="autovibe@pve!local=unset")  # user@realm!name=secret
PROXMOX_VERIFY_TLS = os.environ.get("PROXMOX_VERIFY_TLS", "1")  # 1, 0, or the path of a CA bundle
PROXMOX_FINGERPRINT = os.environ.get("PROXMOX_FINGERPRINT", "")  # SHA-256; instead of the authorities
PROXMOX_POOL = os.environ.get("PROXMOX_POOL", "autovibe")
PROXMOX_TEMPLATE = int(number("PROXMOX_TEMPLATE", default=9000))  # VMID that genesis checkpoints clone from
PROXMOX_BACKUP_STORAGE = os.environ.get(
    "PROXMOX_BACKUP_STORAGE", ""
)  # of checkpoints that cannot be branched else
# How many disks a storage makes at the same time, and how many clones of one VM: more only fail waiting for its lock.
PROXMOX_CLONES_PER_STORAGE = int(number("PROXMOX_CLONES_PER_STORAGE", default=2))
PROXMOX_CLONES_PER_SOURCE = int(number("PROXMOX_CLONES_PER_SOURCE", default=4))
# Writing calls that one node is sent at the same time.
PROXMOX_NODE_CALLS = max(1, int(number("PROXMOX_NODE_CALLS", default=2)))
PROXMOX_VMID_FIRST = int(number("PROXMOX_VMID_FIRST", default=10_000))
PROXMOX_VMID_LAST = int(number("PROXMOX_VMID_LAST", default=999_999))

# --- Gateway --------------------------------------------------------------------------------------------------

GATEWAY_URL = os.environ.get("AUTOVIBE_GATEWAY_URL", "http://127.0.0.1:8000")  # as guests reach it
# Which addresses that are not public upstreams may have: docs/security.md. Set but empty: none.
OUTGOING_ALLOW = destinations(
    "OUTGOING_ALLOW", "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
)
# No key here and no upstream in the database: the offline model answers, and says so.
ANTHROPIC_API_KEY = secret("ANTHROPIC_API_KEY")
ANTHROPIC_BASE_URL = os.environ.get("ANTHROPIC_UPSTREAM_URL", "https://api.anthropic.com")
OPENAI_API_KEY = secret("OPENAI_API_KEY")
OPENAI_BASE_URL = os.environ.get("OPENAI_UPSTREAM_URL", "https://api.openai.com")
GATEWAY_PATIENCE_SECONDS = number(
    "GATEWAY_PATIENCE_SECONDS", default=60
)  # with upstreams that are overloaded
GATEWAY_CHECKPOINT_HOLD_SECONDS = number("GATEWAY_CHECKPOINT_HOLD_SECONDS", default=120)
GATEWAY_RESERVATION_SECONDS = number("GATEWAY_RESERVATION_SECONDS", default=900)
GATEWAY_RECORDING = (
    choice("GATEWAY_RECORDING", "off", "redacted", "full") or "full"
)  # of bodies; docs/replay.md
GATEWAY_RECORDING_DAYS = max(1, int(number("GATEWAY_RECORDING_DAYS", default=14)))
OFFLINE_MODEL_LATENCY_SECONDS = number("OFFLINE_MODEL_LATENCY_SECONDS", default=0)
PRICE_OVERRIDES: dict[str, dict[str, str]] = {}  # for tests; the price book is what admins use
# What a model without a price is taken to cost, in units per million tokens ("20/100"); unset, it is not called.
PRICE_CEILING = prices("PRICE_CEILING")
METRICS_TOKEN = secret(
    "METRICS_TOKEN"
)  # what a scraper of /metrics shows; without one, only staff may read it
BUDGET_LANDING_PERCENT = number("BUDGET_LANDING_PERCENT", default=5)  # of a new budget, for wrapping up
BUDGET_TIME_ZONE = os.environ.get("BUDGET_TIME_ZONE", "UTC")  # where a new budget's days begin
# The circuit breaker (budgets.breaker). Money is in units of the currency a minute.
BREAKER_FLOOR = number("BREAKER_FLOOR", default=1)  # what never opens one
BREAKER_CEILING = number(
    "BREAKER_CEILING", default=0
)  # what opens that of a project without history; 0: nothing
BREAKER_COOLDOWN_SECONDS = int(number("BREAKER_COOLDOWN_SECONDS", default=600))
BREAKER_PROBATION_SECONDS = int(number("BREAKER_PROBATION_SECONDS", default=300))

# --- Machines -------------------------------------------------------------------------------------------------

MACHINE_TYPES_DIR = os.environ.get("MACHINE_TYPES_DIR", "")  # further machine types, as TOML files
MACHINE_WALL_SECONDS = int(number("MACHINE_WALL_SECONDS", default=4 * 3600))
MACHINE_FILE_BYTES_MAX = 10 * 1024**2
MACHINE_FILES_BYTES_MAX = 32 * 1024**2

# --- Checkpoints: see docs/checkpoints/ -----------------------------------------------------------------------

CHECKPOINT_SKIP = flag("CHECKPOINT_SKIP", default=True)  # share the last snapshot where nothing has changed
CHECKPOINT_FILE_MIB_MAX = int(
    number("CHECKPOINT_FILE_MIB_MAX", default=32)
)  # larger ones are in snapshots only
CHECKPOINT_PRUNE = flag("CHECKPOINT_PRUNE", default=True)  # apply every project's retention once a day
CHECKPOINT_RETENTION = counts(
    "CHECKPOINT_RETENTION",
    "keep_last=50 hourly=24 daily=14 weekly=8 monthly=12 milestones=yes",
    *("keep_last", "hourly", "daily", "weekly", "monthly", "milestones"),
)  # of projects that do not say otherwise: docs/checkpoints/retention.md
# Proofs: docs/checkpoints/proof.md. How many scratch guests are up at once; 0: nothing is proven unasked.
CHECKPOINT_PROOFS_AT_ONCE = int(number("CHECKPOINT_PROOFS_AT_ONCE", default=1))
CHECKPOINT_PROOF_DEPTH = choice("CHECKPOINT_PROOF_DEPTH", "metadata", "content", "boot") or "boot"
CHECKPOINT_PROOF_SECONDS_A_DAY = int(
    number("CHECKPOINT_PROOF_SECONDS_A_DAY", default=3600)
)  # of each project
CHECKPOINT_PROOF_DAYS = int(number("CHECKPOINT_PROOF_DAYS", default=30))  # after which one is proven again

# --- Networks of machines: see docs/network.md ----------------------------------------------------------------

MACHINE_NETWORK = choice("MACHINE_NETWORK", "sealed", "hub", "open")  # instead of what machine types say
NETWORK_ALLOW = destinations("NETWORK_ALLOW")  # what closed networks may reach besides the gateway
NETWORK_HUB_ALLOW = destinations("NETWORK_HUB_ALLOW")  # and those of hubs
NETWORK_DNS = [network for network, _ in destinations("NETWORK_DNS")]  # resolvers; none: any
USAGE_DAYS = int(number("USAGE_DAYS", default=30))  # how long it is kept what machines used

# --- Logging --------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {"keys": {"()": "autovibe.logs.WithoutKeys"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["keys"]}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    "loggers": {
        # proxmoxer logs request bodies at INFO, and with them what we write into guests.
        "proxmoxer": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django-q": {"level": "WARNING"},
    },
}
