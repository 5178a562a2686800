"""The names of the hosts, apart from the frameworks, which may be missing."""

HOSTS = (
    *("alone", "starlette", "fastapi", "flask", "flask-beside"),
    *("django-wsgi", "django-asgi", "django-beside"),
)
