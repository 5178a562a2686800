"""The `llm` command.

python llm_command.py URL
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from reporting import Report, until

report = Report()
HOME = Path.cwd()
MODELS = "".join(
    f"- model_id: {name}\n  model_name: {name}\n  api_base: {sys.argv[1]}\n"
    "  supports_schema: true\n  supports_tools: true\n"
    for name in ("echo", "typed", "caller", "busy", "endless", "state")
)
MODELS += f"- model_id: asked\n  model_name: echo\n  api_base: {sys.argv[1]}\n  responses: true\n"
(HOME / "extra-openai-models.yaml").write_text(MODELS)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llm", *words],
        env={**os.environ, "LLM_USER_PATH": str(HOME), "OPENAI_API_KEY": "none"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*words: str) -> str:
    done = start(*words)
    said, complained = done.communicate(timeout=60)
    if done.returncode:
        raise RuntimeError(complained)
    return said.strip()


@report.see("chat")
def whole() -> Any:
    return run("-m", "echo", "--no-stream", "Hello world")


@report.see("stream")
def stream() -> Any:
    return run("-m", "echo", "Hello world")


@report.see("schema")
def schema() -> Any:
    return json.loads(run("-m", "typed", "--schema", "name,age int", "Who?"))["age"]


@report.see("usage")
def usage() -> Any:
    done = start("-m", "echo", "-u", "Hello world")
    return [done.communicate(timeout=60)[1].strip(), done.returncode]


@report.see("parallel tools")
def tools() -> Any:
    function = "def weather(city: str) -> str:\n    return 'rain in ' + city"
    return run("-m", "caller", "--functions", function, "Paris Rome").splitlines()[-1]


@report.see("responses")
def responses() -> Any:
    return [run("-m", "asked", *options, "Hello world") for options in ([], ["--no-stream"])]


@report.see("retry")
def retried() -> Any:
    return run("-m", "busy", f"{time.time()}")


@report.see("errors")
def errors() -> Any:
    done = start("-m", "typed", "-o", "temperature", "2", "-o", "max_tokens", "0", "x")
    return [done.communicate(timeout=60)[1].strip(), done.returncode]


@report.see("leaving")
def leaving() -> Any:
    going = start("-m", "endless", "x")
    assert going.stdout is not None
    going.stdout.read(1)
    going.terminate()
    going.communicate(timeout=60)
    return until("0", lambda: run("-m", "state", "open"))


report.print()
