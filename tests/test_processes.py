"""Servers of tests, as the tests start and stop them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from sample_projects import processes
from sample_projects.processes import Together, free_port, running
from tests import prepared

LATE = """
import pathlib, time
time.sleep(1)
pathlib.Path("loaded").touch()
def app(environ, start_response):
    pathlib.Path("asked").touch()
"""


def test_a_server_is_there_when_its_worker_has_loaded_the_application(tmp_path: Path) -> None:
    """gunicorn listens before."""
    (tmp_path / "late.py").write_text(LATE)
    port = free_port()
    words = [sys.executable, "-m", "gunicorn", "late:app", "--bind", f"127.0.0.1:{port}"]
    with running(words, port, cwd=tmp_path, log=tmp_path / "log"):
        assert (tmp_path / "loaded").exists()
    assert not (tmp_path / "asked").exists()
    assert "rror" not in (tmp_path / "log").read_text()


def test_contexts_end_at_the_same_time() -> None:
    ending = Barrier(3)

    @contextmanager
    def context() -> Iterator[None]:
        yield
        # Waits until all three are here.
        ending.wait(30)

    with Together() as together:
        for _ in range(3):
            together.enter_context(context())


def test_what_one_raises_is_told_when_all_have_ended() -> None:
    ended = []

    @contextmanager
    def context(name: str) -> Iterator[str]:
        yield name
        ended.append(name)
        assert name != "first", "its log has a traceback"

    with pytest.raises(AssertionError, match="its log has a traceback"), Together() as together:
        assert [together.enter_context(context(name)) for name in ("first", "second")] == [
            "first",
            "second",
        ]
    assert sorted(ended) == ["first", "second"]


STARTS = pytest.mark.parametrize("start", [processes.start, prepared.start])


def ended(start: Any, log: Path, *words: str, **environment: str) -> tuple[int, str]:
    """The status of a process, and what it printed."""
    with log.open("w+b") as output:
        process = start(
            [sys.executable, "-m", *words],
            cwd=processes.ROOT,
            environment={**os.environ, "PYTHONPATH": processes.PYTHONPATH, **environment},
            output=output.fileno(),
        )
        return process.wait(60), log.read_text()


@STARTS
def test_a_process_has_its_own_words_environment_and_end(start: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    status, said = ended(start, log, "uvicorn", "--no-such-option")
    assert (status, "No such option" in said) == (2, True)
    status, said = ended(start, log, "uvicorn", "--version")
    assert (status, said.startswith("Running uvicorn")) == (0, True)
    status, said = ended(start, log, "uvicorn", "no_such_module:app")
    assert (status, "no_such_module" in said) == (3, True)
    status, said = ended(start, log, "gunicorn", "x:y", GUNICORN_CMD_ARGS="--print-config")
    assert "wsgi_app" in said


@STARTS
def test_a_process_has_a_group_of_its_own(start: Any) -> None:
    words = [sys.executable, "-m", "uvicorn", "--factory", "tests.integrations.silent_apps:asgi"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "start_server", start)
        port = free_port()
        with running([*words, "--port", str(port)], port) as served:
            assert os.getpgid(served.pid) == os.getsid(served.pid) == served.pid != os.getpgid(0)
            assert os.readlink(f"/proc/{served.pid}/fd/0") == os.devnull
            assert served.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                served.wait(0.01)
            served.kill()
            assert served.wait(30) == served.returncode == -signal.SIGKILL


def test_a_prepared_server_has_imported_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(
        "import os, sys; print(os.getppid(), 'mcp_mount_django' in sys.modules); sys.exit(5)"
    )
    words = ["uvicorn", "--app-dir", str(tmp_path), "said:app"]
    parents = []
    for start, is_prepared in ((processes.start, False), (prepared.start, True)):
        status, said = ended(start, tmp_path / "log", *words)
        parent, imported = said.split()[:2]
        assert (status, imported) == (5, str(is_prepared))
        parents.append(int(parent) == os.getpid())
    assert parents == [True, False]


@pytest.mark.parametrize(
    ("name", "value"),
    [("GUNICORN_CMD_ARGS", "-k gevent"), ("FORWARDED_ALLOW_IPS", "10.0.0.1")],
)
def test_what_must_see_imports_happen_is_not_prepared(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This process has it now, and the fork server began without it.
    prepared._fork_server()
    monkeypatch.setenv(name, value)
    (tmp_path / "said.py").write_text("import os; print('parent', os.getppid()); os._exit(5)")
    words = ["uvicorn", "--app-dir", str(tmp_path), "said:app"]
    status, said = ended(prepared.start, tmp_path / "log", *words)
    assert (status, f"parent {os.getpid()}" in said) == (5, True)


def test_one_fork_server_is_started_for_all_threads() -> None:
    prepared._begun.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: prepared._fork_server(), range(8)))
    assert all(one is found[0] for one in found)


def test_all_who_wait_for_a_process_are_told_its_status() -> None:
    words = [sys.executable, "-m", "uvicorn", "--version"]
    environment = {**os.environ, "PYTHONPATH": processes.PYTHONPATH}
    for _ in range(10):
        with open(os.devnull, "wb") as output:
            process = prepared.start(
                words, cwd=processes.ROOT, environment=environment, output=output.fileno()
            )
            with ThreadPoolExecutor(4) as pool:
                assert set(pool.map(lambda _, one=process: one.wait(60), range(4))) == {0}


def test_only_known_programs_are_prepared(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text("import sys; print('gunicorn.config' in sys.modules)")
    assert ended(prepared.start, tmp_path / "log", "said", PYTHONPATH=str(tmp_path)) == (
        0,
        "False\n",
    )
