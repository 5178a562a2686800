"""The `llm` command.

python llm_command.py URL
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from reporting import Report

report = Report()
HOME = Path.cwd()
MODELS = "".join(
    f"- model_id: {name}\n  model_name: {name}\n  api_base: {sys.argv[1]}\n"
    "  supports_schema: true\n  supports_tools: true\n"
    for name in ("echo", "typed", "caller")
)
(HOME / "extra-openai-models.yaml").write_text(MODELS)


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "llm", *words],
        env={**os.environ, "LLM_USER_PATH": str(HOME), "OPENAI_API_KEY": "none"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


@report.see("chat")
def whole() -> Any:
    return run("-m", "echo", "--no-stream", "Hello world")


@report.see("stream")
def stream() -> Any:
    return run("-m", "echo", "Hello world")


@report.see("schema")
def schema() -> Any:
    return json.loads(run("-m", "typed", "--schema", "name,age int", "Who?"))["age"]


@report.see("tools")
def tools() -> Any:
    function = "def weather(city: str) -> str:\n    return 'rain in ' + city"
    return run("-m", "caller", "--functions", function, "Paris Rome").splitlines()[-1]


report.print()
