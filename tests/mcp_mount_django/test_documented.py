"""The examples of docs/django.md, executed in a project with a shop."""

from __future__ import annotations

import subprocess
import sys

from sample_projects.processes import ROOT


def test_the_examples_of_the_django_page_run() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "tests/mcp_mount_django/documented/run.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 6 tests" in done.stderr
