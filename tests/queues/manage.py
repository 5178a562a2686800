"""manage.py of the project in `django_desk.py`."""

import sys

from django.core.management import execute_from_command_line

import tests.queues.django_desk  # noqa: F401

execute_from_command_line(["manage.py", *sys.argv[1:]])
