"""The names of the hosts, apart from the frameworks, which may be missing."""

HOSTS = ("alone", "starlette", "fastapi", "flask", "django-wsgi", "django-asgi")
