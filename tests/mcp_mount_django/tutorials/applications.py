"""The tutorials under WSGI and ASGI, and their database."""

from __future__ import annotations

import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.mcp_mount_django.tutorials.settings"


def wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def asgi() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


if __name__ == "__main__":
    import django

    django.setup()

    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.utils import timezone
    from rest_framework.authtoken.models import Token

    from tests.mcp_mount_django.tutorials.polls.models import Question

    call_command("migrate", run_syncdb=True, verbosity=0)
    for name in ("ada", "bob"):
        user = User.objects.create_user(name, password="secret")
        Token.objects.create(user=user, key=f"token-of-{name}")
    question = Question.objects.create(question_text="What's new?", pub_date=timezone.now())
    for text in ("Not much", "The sky"):
        question.choice_set.create(choice_text=text)
