"""Settings of the sample shop."""

import os
from pathlib import Path

from mcp_mount.auth import SignIn

BASE_DIR = Path(__file__).resolve().parent.parent

# For the sample only: a real project keeps its key out of the repository.
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "sample-key-of-the-shop")
DEBUG = os.environ.get("SHOP_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "mcp_mount_django",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", BASE_DIR / "shop.sqlite3"),
        "ATOMIC_REQUESTS": True,
    }
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
USE_TZ = True

# Assistants may look around and order without an account. Those of people who sign in see and
# cancel the orders of their person; the lists show these tools to all, so that assistants know
# that they can ask to sign in.
MCP_MOUNT = {
    "AUTH": SignIn(scopes={"orders:read": "See your orders", "orders:write": "Cancel your orders"}),
    "AUTH_REQUIRED": False,
    "DISPLAY_NAME": "The tea shop",
    "LIST_STEP_UP": True,
    # Anybody may order, on purpose.
    "OPEN": True,
}
# The login page has the header that this asks for: see `Login` in shop/views.py.
SILENCED_SYSTEM_CHECKS = ["mcp_mount.I020"]
