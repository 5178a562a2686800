"""A Django project as `startproject` makes it, with a JSON view.

Also run by peers in environments of their own: it imports Django and nothing else.
"""

from __future__ import annotations

import json
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

KEY = "a-secret-key-for-the-benchmarks-of-mcp-mount"


@csrf_exempt
def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"text": json.loads(request.body)["text"]})


urlpatterns: list[Any] = [path("echo", view)]


def configure(*apps: str) -> None:
    """Set Django up, with applications besides its own."""
    settings.configure(
        SECRET_KEY=KEY,
        DEBUG=False,
        ALLOWED_HOSTS=["localhost", "127.0.0.1"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.staticfiles",
            *apps,
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TEMPLATES=[
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
        ],
        STATIC_URL="static/",
    )
    django.setup()


def route(server: Any) -> None:
    """Mount a server of mcp-mount at /mcp."""
    urlpatterns.append(path("mcp", include(server.urls)))


def wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def asgi() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()
