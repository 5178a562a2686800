"""Servers of other projects, each in a virtual environment of its own.

The modules of this package are run there: they import no part of mcp-mount.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = Path(__file__).parent / ".environments"
_SECONDS = 900
"""How long an installation may take."""


@dataclass(frozen=True)
class Peer:
    """A project, and what is installed to run it.

    Attributes:
        name: Name of its environment.
        requirements: What pip installs.
    """

    name: str
    requirements: tuple[str, ...]

    def python(self) -> str:
        """The interpreter of its environment, which is made if it is not there."""
        folder = ENVIRONMENTS / self.name
        python = folder / "bin" / "python"
        mark = folder / ".requirements"
        wanted = "\n".join(self.requirements)
        if not mark.exists() or mark.read_text() != wanted:
            print(f"Installing {self.name} ...", file=sys.stderr, flush=True)
            venv.create(folder, clear=True, with_pip=True)
            words = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*words, *self.requirements], check=True, timeout=_SECONDS)
            mark.write_text(wanted)
        return str(python)
