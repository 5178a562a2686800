"""`manage.py` of the Django project that people sign in to."""

import sys

from django.core.management import execute_from_command_line

import tests.integrations.signing_in_project  # noqa: F401

if __name__ == "__main__":
    execute_from_command_line(["manage.py", *sys.argv[1:]])
