"""The environments of the clients: made on first use from their locks, and kept.

A Python client has a virtual environment in `.environments/`, by `locks/NAME-VERSION.txt`; the
TypeScript clients share `node_modules/`, where each has a name of its own (package.json).
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

from tests.clients.table import Package

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".environments"
LOCKS = HERE / "locks"
PROGRAMS = HERE / "programs"
SECONDS = 900
"""How long an installation may take."""


def python_of(package: Package, locks: Path = LOCKS) -> Path:
    """The interpreter of a client's environment, which is made if it is not there.

    Args:
        package: The client.
        locks: Where its lock is.
    """
    folder = ENVIRONMENTS / (str(package) if locks is LOCKS else f"models-{package}")
    python = folder / "bin" / "python"
    lock = locks / f"{package}.txt"
    mark = folder / ".lock"
    digest = sha256(lock.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        print(f"Installing {package} ...", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        _install(python, ["--requirement", str(lock)])
        mark.write_text(digest)
    return python


def lock_of(package: Package) -> Path:
    return LOCKS / f"{package}.txt"


def write_lock(package: Package) -> None:
    """Install a client anew, with the newest versions of what it needs, and write them down."""
    folder = ENVIRONMENTS / str(package)
    python = folder / "bin" / "python"
    venv.create(folder, clear=True, with_pip=True)
    _install(python, package.requirements)
    words = [str(python), "-m", "pip", "freeze", "--disable-pip-version-check"]
    frozen = subprocess.run(words, capture_output=True, text=True, check=True, timeout=SECONDS)
    lock = lock_of(package)
    lock.write_text(frozen.stdout)
    (folder / ".lock").write_text(sha256(lock.read_bytes()).hexdigest())


def _install(python: Path, words: list[str]) -> None:
    own = ["-qq", "--disable-pip-version-check", "--only-binary", ":all:"]
    command = [str(python), "-m", "pip", "install", *own, *words]
    subprocess.run(command, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)


def variables(home: Path) -> dict[str, str]:
    """The environment variables of a client: nothing of this checkout, nothing is reported home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        # What a client keeps between runs would change what it does.
        "HOME": str(home),
        "DO_NOT_TRACK": "1",
        "FASTMCP_CHECK_FOR_UPDATES": "off",
        "LANGSMITH_TRACING": "false",
        # Else it downloads prices, and waits for that.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "127.0.0.1,localhost",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "OTEL_SDK_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
