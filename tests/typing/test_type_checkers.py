"""The public interface as type checkers see it: a user's program, right and wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node import install

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MISSPELT = {
    number
    for number, line in enumerate((HERE / "wrong.py").read_text().splitlines(), start=1)
    if line.endswith("# misspelt")
}


@pytest.fixture(scope="module")
def pyright() -> dict[str, dict[int, str]]:
    """What pyright strict finds: by the file, the messages by their lines."""
    command = [
        *("node", str(install(HERE) / "pyright/index.js"), "--outputjson"),
        *("--project", str(HERE), "--pythonpath", sys.executable),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found: dict[str, dict[int, str]] = {"right.py": {}, "wrong.py": {}}
    for one in json.loads(run.stdout)["generalDiagnostics"]:
        line = one["range"]["start"]["line"] + 1
        found[Path(one["file"]).name][line] = one["message"]
    return found


def test_pyright_strict_accepts_a_right_program(pyright: dict[str, dict[int, str]]) -> None:
    assert pyright["right.py"] == {}


def test_pyright_strict_finds_every_misspelt_option(pyright: dict[str, dict[int, str]]) -> None:
    assert set(pyright["wrong.py"]) == MISSPELT
    assert len(MISSPELT) >= 10


def test_mypy_finds_every_misspelt_option(tmp_path: Path) -> None:
    """It takes a copy: the configuration of the project leaves the file out."""
    copy = tmp_path / "program.py"
    copy.write_text((HERE / "wrong.py").read_text())
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
        *("--config-file", "/dev/null", "--cache-dir", str(ROOT / ".mypy_cache/wrong")),
        *("--ignore-missing-imports", "--no-warn-unused-ignores", str(copy)),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    lines = run.stdout.splitlines()
    found = {int(line.split(":")[1]) for line in lines if "program.py" in line and "error:" in line}
    assert found == MISSPELT, run.stdout
