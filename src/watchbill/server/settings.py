"""Django's settings, all from base/config.py. Which principal `default` is depends on the process."""

import logging
import os
from pathlib import Path

from watchbill.base.config import Database, read_config
from watchbill.base.keys import Keys
from watchbill.outbound.rules import read_policy
from watchbill.server.logs import configure_logs

CONFIG = read_config()
PROCESS = CONFIG.get("WATCHBILL_PROCESS", "tool")
DATA = CONFIG.data
ROLE_PREFIX = CONFIG.role_prefix
# Tools that read code only (type checker, documentation) run without a hub; everything else has its key by now.
KEYS: Keys = (
    CONFIG.keys(create=PROCESS == "tool" and "WATCHBILL_DATA" in os.environ) if PROCESS != "code" else Keys(bytes(32))
)
PREVIOUS_KEYS = CONFIG.previous_keys()
SECRET_KEY = KEYS.text("django")

DEBUG = False
ALLOWED_HOSTS = ["*"]  # One address for all hosts: links are made from WATCHBILL_URL, never from the Host header.
PUBLIC_URL = CONFIG.url
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "watchbill.server.urls"
AUTH_USER_MODEL = "signin.Login"
APPEND_SLASH = False

_DATABASE = CONFIG.database or Database("localhost", 5432, "watchbill")
#: process → alias → principal; "owner" is the migrator.
PRINCIPALS_BY_PROCESS = {
    "web": {"default": "app", "signin": "signin"},
    "worker": {"default": "worker", "signin": "signin", "sealer": "sealer", "sweeper": "sweeper"},
    "cli": {"default": "worker", "signin": "signin", "sealer": "sealer", "sweeper": "sweeper"},
    "migrate": {"default": "owner", "signin": "owner", "sealer": "owner", "sweeper": "owner"},
}


def _connection(principal: str) -> dict[str, object]:
    owner = principal == "owner"
    options: dict[str, object] = dict(_DATABASE.options)
    options["application_name"] = f"watchbill-{PROCESS}-{principal}"
    options["connect_timeout"] = 10
    if owner:
        options["options"] = "-c lock_timeout=10s -c statement_timeout=600s -c search_path=public"
    elif PROCESS == "web":
        options["options"] = "-c statement_timeout=20s -c lock_timeout=10s"
        options["pool"] = {"min_size": 1, "max_size": 12 if principal == "app" else 6, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _DATABASE.host,
        "PORT": _DATABASE.port,
        "NAME": _DATABASE.name,
        "USER": _DATABASE.user if owner else f"{ROLE_PREFIX}_{principal}",
        "PASSWORD": _DATABASE.password if owner else KEYS.text(f"database-role/{principal}"),
        "OPTIONS": options,
        "CONN_MAX_AGE": 0 if PROCESS == "web" else None,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }


DATABASES = {
    alias: _connection(principal)
    for alias, principal in PRINCIPALS_BY_PROCESS.get(PROCESS, PRINCIPALS_BY_PROCESS["web"]).items()
}
#: What DATABASE_URL says beyond the address (sslmode, sslrootcert …), for the connections that are not Django's.
DATABASE_OPTIONS = dict(_DATABASE.options)
DATABASE_ROUTERS = ["watchbill.runtime.routers.PrincipalRouter"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "procrastinate.contrib.django",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "watchbill.runtime",
    "watchbill.ledger",
    "watchbill.facts",
    "watchbill.people",
    "watchbill.secrets",
    "watchbill.catalogue",
    "watchbill.blobs",
    "watchbill.clocks",
    "watchbill.oncall",
    "watchbill.signals",
    "watchbill.paging",
    "watchbill.gates",
    "watchbill.incidents",
    "watchbill.handbook",
    "watchbill.signin",
    "watchbill.intake",
    "watchbill.console",
]
MIDDLEWARE = [
    "watchbill.runtime.http.EdgeMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "watchbill.signin.middleware.PersonMiddleware",
    "watchbill.runtime.idempotency.IdempotencyMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parents[1] / "console" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "watchbill.console.context.shell",
            ],
            "builtins": ["watchbill.console.templatetags.watchbill"],
        },
    }
]

# Sign-in
SESSION_ENGINE = "watchbill.signin.sessions"
SESSION_COOKIE_NAME = "watchbill_session"
SESSION_COOKIE_AGE = 14 * 86400
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
CSRF_COOKIE_NAME = "watchbill_csrf"
CSRF_FAILURE_VIEW = "watchbill.runtime.http.csrf_failure"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PUBLIC_URL.startswith("https://") else None
LOGIN_URL = "/signin"
LOGIN_REDIRECT_URL = "/"
AUTHENTICATION_BACKENDS = ["watchbill.signin.backends.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_ADAPTER = "watchbill.signin.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email", "password1"]
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_USER_DISPLAY = "watchbill.signin.backends.display"
SOCIALACCOUNT_ADAPTER = "watchbill.signin.adapters.SocialAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"SCOPE": ["openid", "profile", "email", "groups"]}}
MFA_ADAPTER = "watchbill.signin.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1
OIDC = (
    {
        "issuer": CONFIG.get("WATCHBILL_OIDC_ISSUER"),
        "client_id": CONFIG.get("WATCHBILL_OIDC_CLIENT_ID"),
        "client_secret": CONFIG.get("WATCHBILL_OIDC_CLIENT_SECRET"),
        "name": CONFIG.get("WATCHBILL_OIDC_NAME", "Single sign-on"),
        "groups": CONFIG.get("WATCHBILL_OIDC_GROUPS", "groups"),
    }
    if CONFIG.get("WATCHBILL_OIDC_ISSUER")
    else {}
)

# The edge
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; form-action 'self'{form}; base-uri 'none'; frame-ancestors 'none'"
).format(form=f" {OIDC['issuer'].split('://')[0]}://{OIDC['issuer'].split('://')[-1].split('/')[0]}" if OIDC else "")
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 400
FILE_UPLOAD_PERMISSIONS = 0o600
TRUSTED_PROXIES = frozenset(part.strip() for part in CONFIG.get("WATCHBILL_TRUSTED_PROXIES").split(",") if part.strip())
RATE_PER_MINUTE = int(CONFIG.get("WATCHBILL_RATE", "600"))
DEADMAN_URL, DEADMAN_EVERY = CONFIG.get("WATCHBILL_DEADMAN_URL"), int(CONFIG.get("WATCHBILL_DEADMAN_EVERY", "300"))
METRICS_TOKEN = CONFIG.get("WATCHBILL_METRICS_TOKEN")
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "watchbill.console.static_files.VersionedStorage"},
}
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.AppDirectoriesFinder"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 31536000
WHITENOISE_ALLOW_ALL_ORIGINS = False

# The ground floor
OUTBOUND = read_policy(CONFIG.get("WATCHBILL_OUTBOUND"), CONFIG.get("WATCHBILL_OUTBOUND_ONLY"))
BLOBS_URL = CONFIG.get("WATCHBILL_BLOBS")
CLAMD = CONFIG.get("WATCHBILL_CLAMD")
ANCHOR = CONFIG.anchor

# The worker brings its own application; Procrastinate's Django app is used for its tables.
PROCRASTINATE_ON_APP_READY = None
LOGGING_CONFIG = None
configure_logs(CONFIG.get("WATCHBILL_LOG_LEVEL", "INFO"), PROCESS)
logging.captureWarnings(True)
