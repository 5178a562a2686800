"""The examples of docs/django.md, executed in a project with a shop."""

from __future__ import annotations

import re
import subprocess
import sys

from sample_projects.processes import ROOT


def test_the_examples_of_the_django_page_run() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "tests/mcp_mount_django/documented/run.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 8 tests" in done.stderr


def test_every_key_of_the_setting_is_documented(project: None) -> None:
    from mcp_mount_django.options import OPTIONS

    page = (ROOT / "docs" / "django.md").read_text()
    table = page.partition("\n## Settings\n")[2].partition("\n## Checks\n")[0]
    documented = re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)
    assert set(OPTIONS) ^ set(documented) == set(), (
        "docs/django.md, Settings: a row for each option of a server, policies among them"
    )
    assert len(documented) == len(OPTIONS), "docs/django.md, Settings: two rows for one key"
