"""The Node.js packages of the tests, installed from their committed locks."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path


def install(folder: Path) -> Path:
    """Install the packages of a folder, if they are not there; where they are."""
    modules = folder / "node_modules"
    # One of several workers of pytest installs; the others wait for it.
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (modules / ".package-lock.json").exists():
            print(f"Installing the packages of {folder.name} ...", flush=True)
            words = ["npm", "ci", "--silent", "--no-fund", "--no-audit"]
            subprocess.run(words, cwd=folder, check=True)
    return modules
