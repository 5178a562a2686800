"""Processes of Python that are forked from one that has imported what most servers need.

To import frameworks and this library costs a server most of its start, about a second of computing,
and the tests start several hundred. So their servers come from multiprocessing's fork server, which
has one thread and runs nothing else. All that a server does after these imports is its own: its
application, environment, files, signals and process group. What must see imports happen is started
as usual.
"""

from __future__ import annotations

import atexit
import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import connection, forkserver, get_context
from multiprocessing.process import _children as children  # type: ignore[attr-defined]
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any, Final

from sample_projects import processes
from sample_projects.processes import PYTHONPATH, ROOT, Process

PROGRAMS: Final = frozenset(
    {
        *("celery", "daphne", "flask", "gunicorn", "hypercorn", "mcp_mount", "uvicorn"),
        *("tests.cli.manage", "tests.queues.manage"),
    }
)
"""What is run by `python -m`, if it is prepared."""

PATCHED: Final = ("gevent", "eventlet")
"""What replaces functions of the standard library before others import them."""

AT_IMPORT: Final = ("PYTHON", "LD_", "CLOCK_AHEAD", "FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY")
"""How variables begin that are read when Python starts or modules are imported."""

HARMLESS: Final = frozenset({"PYTHONUNBUFFERED"})
"""Those of them that need not be as here: all is written at the end."""

MODULES: Final = (
    "anyio._backends._asyncio",
    "celery.app.base",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "django.core.handlers.asgi",
    "django.core.handlers.wsgi",
    "django.core.management",
    "django.db.backends.sqlite3.base",
    "django.db.models",
    "django.forms",
    "django.middleware.clickjacking",
    "django.middleware.common",
    "django.middleware.csrf",
    "django.middleware.security",
    "flask",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "httptools",
    "kombu.transport.redis",
    "mcp_mount.testing",
    "mcp_mount_django",
    "mcp_mount_fastapi",
    "mcp_mount_flask",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.main",
    "uvicorn.protocols.http.httptools_impl",
)


_beginning: Final = threading.Lock()
_starting: Final = threading.Lock()
_path: Final = sys.path.copy()
"""The import path of the fork server, whose first entry is the folder in which it works."""


def prepare() -> None:
    """Import them, in the fork server."""
    for module in MODULES:
        # An older version may lack one.
        with suppress(ImportError):
            importlib.import_module(module)


class Prepared:
    """A process that was forked, with what `subprocess.Popen` has of one.

    Attributes:
        pid: Its id.
        returncode: The status with which it has ended, as that of Popen; None before that is known.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        # multiprocessing waits for its children at the end of this process; Popen does not.
        children.discard(process)
        self.pid: int = process.pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its status, if it has ended."""
        # The fork server tells it once, to one who asks.
        with self._lock:
            if self.returncode is None:
                self.returncode = self._process.exitcode
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: If it has not ended in time.
        """
        connection.wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("a prepared process", timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], output: int
) -> Process:
    """Start a process, as `processes.start` does, from the fork server if that makes no difference
    to it."""
    # gunicorn looks where it is when it is imported.
    if cwd != ROOT or not _is_preparable(words, environment):
        return processes.start(words, cwd=cwd, environment=environment, output=output)
    with open(os.devnull, "rb") as nothing:
        return _start(words, environment, (nothing.fileno(), output, output))


def run(
    words: Sequence[str], *, environment: Mapping[str, str], said: str = "", seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a command, as `subprocess.run` does, from the fork server if that makes no difference
    to it.

    Args:
        words: Its command line.
        environment: Its whole environment.
        said: What it reads.
        seconds: How long it may take.
    """
    if not _is_preparable(words, environment):
        return subprocess.run(
            words,
            cwd=ROOT,
            env=environment,
            input=said,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    with TemporaryFile("w+") as read, TemporaryFile("w+") as printed, TemporaryFile("w+") as told:
        read.write(said)
        read.seek(0)
        files = read.fileno(), printed.fileno(), told.fileno()
        process = _start(words, environment, files)
        try:
            status = process.wait(seconds)
        finally:
            process.kill()
        printed.seek(0)
        told.seek(0)
        return subprocess.CompletedProcess(words, status, printed.read(), told.read())


def _start(
    words: Sequence[str], environment: Mapping[str, str], files: tuple[int, int, int]
) -> Prepared:
    _, _, module, *arguments = words
    descriptors = tuple(map(_Descriptor, files))
    context, _ = _fork_server()
    process = context.Process(target=_run, args=(module, arguments, dict(environment), descriptors))
    with _starting, _without_main():
        process.start()
    return Prepared(process)


@contextmanager
def _without_main() -> Iterator[None]:
    """A forked process would import what the main module of this one is, pytest."""
    main = sys.modules["__main__"]
    # The others are left as they are: another thread may import one.
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Descriptor:
    """An open file that goes to the process with its arguments."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> Any:
        return _detached, (DupFd(self._descriptor),)


def _detached(copy: Any) -> int:
    descriptor: int = copy.detach()
    return descriptor


def _is_preparable(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    if len(words) < 3 or list(words[:2]) != [sys.executable, "-m"] or words[2] not in PROGRAMS:
        return False
    own_words = environment.get("GUNICORN_CMD_ARGS", "")
    if any(name in word for word in (*words, own_words) for name in PATCHED):
        return False
    _, own = _fork_server()
    return _read_at_import(environment) == own


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(AT_IMPORT) and name not in HARMLESS
    }


def _fork_server() -> tuple[Any, dict[str, str]]:
    """The context whose processes come from it, and what it has read of its environment."""
    # Of two threads that begin at once, `cache` would let both start one.
    with _beginning:
        return _begun()


@cache
def _begun() -> tuple[Any, dict[str, str]]:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.prepared_imports"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = PYTHONPATH
    try:
        own = _read_at_import(os.environ)
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context, own


def _run(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int]
) -> None:
    """Be `python -m module` from here on, in the forked process."""
    os.setsid()
    os.chdir(ROOT)
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
    for descriptor in {*files}:
        os.close(descriptor)
    # That of multiprocessing has another number, which processes of the server do not have.
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [str(ROOT), *_path[1:]]
    sys.argv = [module, *arguments]
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    # As an interpreter ends; multiprocessing would run no function that is registered for it.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)
