"""A Django project whose users sign in to two servers: ann and bob, by the password "secret".

`python -m tests.integrations.signing_in_project` makes its database, DATABASE.
"""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings
from django.urls import include, path

from tests.integrations.signing_in_apps import HERE, KEY, OLDER_KEYS, register

if not settings.configured:
    # Behind a proxy, as docs/signing-in.md says.
    proxied: dict[str, Any] = {
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        "FORCE_SCRIPT_NAME": "/shop",
        "SECURE_CROSS_ORIGIN_OPENER_POLICY": "unsafe-none",
    }
    settings.configure(
        **(proxied if "PROXIED" in os.environ else {}),
        SECRET_KEY=KEY,
        SECRET_KEY_FALLBACKS=OLDER_KEYS,
        ALLOWED_HOSTS=["127.0.0.1", "app.example"],
        ROOT_URLCONF=__name__,
        LOGIN_URL="login",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "mcp_mount_django",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        (
                            "django.template.loaders.locmem.Loader",
                            {
                                "registration/login.html": (
                                    "<h1>Log in</h1><form method=post>{% csrf_token %}"
                                    "{{ form }}</form>"
                                )
                            },
                        )
                    ]
                },
            }
        ],
        # Quick to compute: nobody attacks these.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["DATABASE"],
                "OPTIONS": {"timeout": 20},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        # For all servers of the project.
        MCP_MOUNT={"AUTH": "tests.integrations.signing_in_apps.AUTH", "SCOPES": "orders:read"},
    )
    django.setup()

from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView

from mcp_mount import SyncContext
from mcp_mount_django import MCPServer

server = MCPServer("orders", **HERE)
other = MCPServer("other")
for one in (server, other):
    register(one)


@server.tool
def user(ctx: SyncContext) -> str:
    """Tell who Django says that calls."""
    found = ctx.request.user
    return f"{type(found).__name__} {found.get_username()} {found.is_authenticated}"


urlpatterns: list[Any] = [
    path("login", LoginView.as_view(), name="login"),
    path("", include("mcp_mount_django.well_known")),
    path("assistants/", include("mcp_mount_django.signin")),
    path("api/mcp", include(server.urls)),
    path("other/mcp", include(other.urls)),
]


def application(interface: str) -> Any:
    if interface == "wsgi":
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for name in ("ann", "bob"):
        User.objects.create_user(name, password="secret")
