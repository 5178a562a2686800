"""A project with users of its own kind, two databases and transactions."""

import os
from pathlib import Path

FOLDER = Path(os.environ["LEDGER_FOLDER"])

SECRET_KEY = "for-tests-only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver", "ledger.example"]
ROOT_URLCONF = "tests.mcp_mount_django.ledger.urls"
USE_TZ = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "German")]
AUTH_USER_MODEL = "ledger.Member"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "/login/"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "mcp_mount_django",
    "tests.mcp_mount_django.ledger",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tests.mcp_mount_django.ledger.middleware.time_zone",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]


def database(name: str) -> dict[str, object]:
    import django

    options: dict[str, object] = {"timeout": 30}
    if django.VERSION >= (5, 1):
        # Writers wait for each other from the start.
        options["transaction_mode"] = "IMMEDIATE"
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / f"{name}.sqlite3",
        "ATOMIC_REQUESTS": True,
        "OPTIONS": options,
    }


DATABASES = {"default": database("default"), "audit": database("audit")}
DATABASE_ROUTERS = ["tests.mcp_mount_django.ledger.models.AuditRouter"]

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

MCP_MOUNT = {"NAME": "ledger", "INSTRUCTIONS": "Ask for the balance first.", "OPEN": True}
