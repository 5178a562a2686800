"""What it costs to import the packages and to start: each in a process of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.servers import pinned
from sample_projects.processes import PYTHONPATH, ROOT

_DJANGO = "from benchmarks import django_project; django_project.configure({apps}); "
_CHECK = "from django.core.management import call_command; call_command('check')"

STATEMENTS = {
    "nothing": "",
    "`import fastapi`": "import fastapi",
    "`import mcp.server` (the official SDK)": "import mcp.server",
    "`import mcp_mount`": "import mcp_mount",
    "`import flask`": "import flask",
    "`import mcp_mount_flask`": "import mcp_mount_flask",
    "`manage.py check` of a new Django project": _DJANGO.format(apps="") + _CHECK,
    "the same with `mcp_mount_django`": _DJANGO.format(apps="'mcp_mount_django'") + _CHECK,
    "the same with a server and two tools": (
        "from benchmarks import applications; applications.in_django(); " + _CHECK
    ),
}
"""By title, what is run."""


def measure(rounds: int) -> dict[str, tuple[float, float, float]]:
    """Run each in turn; by title, the fewest seconds, of CPU time too, and the memory in MB."""
    found: dict[str, list[tuple[float, float, float]]] = {title: [] for title in STATEMENTS}
    for _ in range(rounds):
        for title, statement in STATEMENTS.items():
            found[title].append(once(statement))
    columns = {title: zip(*some, strict=True) for title, some in found.items()}
    return {title: (min(a), min(b), min(c)) for title, (a, b, c) in columns.items()}


def once(statement: str) -> tuple[float, float, float]:
    """Run a statement in a process: its seconds, those of CPU time, and the memory in MB."""
    code = f"{statement}\nprint(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    with pinned([0]):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        output = _run([sys.executable, "-c", code])
        elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed, cpu, int(output.split()[-1]) / 1024


def _run(words: Sequence[str]) -> str:
    variables = {"PYTHONPATH": PYTHONPATH, "PATH": ""}
    done = subprocess.run(
        words, cwd=ROOT, env=variables, check=True, text=True, stdout=subprocess.PIPE
    )
    return done.stdout
