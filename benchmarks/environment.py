"""On what something was measured: written beside the figures, which mean little without it."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.load import WRK
from benchmarks.servers import ALLOWED

_PACKAGES = ("uvicorn", "uvloop", "httptools", "gunicorn", "starlette", "fastapi", "flask")
_MORE = ("django", "pydantic")


def environment() -> dict[str, str]:
    """Commit, date, machine and versions, by name."""
    load = os.getloadavg()[0]
    return {
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {len(ALLOWED)} cores",
        "load of the machine before": f"{load:.1f}" + (" (not idle)" if load > 0.5 else ""),
        "Python": platform.python_version(),
        "load generator": "wrk" if WRK else "Python",
        "packages": ", ".join(f"{name} {_version(name)}" for name in (*_PACKAGES, *_MORE)),
    }


def _commit() -> str:
    words = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    here = Path(__file__).parent
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    for line in cpu.read_text().splitlines() if cpu.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
