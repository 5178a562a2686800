"""The Node.js packages of the tests, installed from their committed locks."""

from __future__ import annotations

import subprocess
from pathlib import Path


def install(folder: Path) -> Path:
    """Install the packages of a folder, if they are not there; where they are."""
    modules = folder / "node_modules"
    if not (modules / ".package-lock.json").exists():
        print(f"Installing the packages of {folder.name} ...", flush=True)
        subprocess.run(["npm", "ci", "--silent", "--no-fund", "--no-audit"], cwd=folder, check=True)
    return modules
