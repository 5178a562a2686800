"""Tasks by Celery: the application, its broker and its workers are the user's."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final

from mcp_mount.backends.tasks.payloads import read_envelope
from mcp_mount.backends.tasks.queued import NOT_REVOKED
from mcp_mount.backends.tasks.workers import Workers
from mcp_mount.hosting.task_workers import run_task
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.forks import after_fork
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

TASK_NAME: Final = "mcp_mount.run_task"
"""The name of the one task that Celery's workers get, for `task_routes`."""

TASK_NAME_AGAIN: Final = "mcp_mount.run_task_again"
"""The same for tasks that may begin again, which are acknowledged when they have ended."""

_SUBMIT_SECONDS: Final = 5.0
"""How long a broker may take. Celery's own limits depend on the transport, and some have none."""

_BUSY_SECONDS: Final = 10
_MAX_THREADS: Final = 16
_RETRY: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""Once more at once: the broker may have closed a connection that was idle."""


class CeleryTasks:
    """Lets Celery's workers run the tasks of a server: `MCPServer(…, tasks=CeleryTasks(app))`.

    Workers must import the module that makes the server. A task is acknowledged before it runs, and
    never runs twice; if its worker is lost, it fails.

    Args:
        app: The Celery application.
        queue: The queue for the tasks; by default that of Celery's own configuration.
        attempts: How often a task may begin, if its workers are lost. Above 1 it is acknowledged
            when it has ended, and must bear to be begun again.

    Raises:
        DefinitionError: If `app` is no Celery application, or another argument cannot have its
            value.
        MissingExtra: If Celery is not installed.
    """

    def __init__(self, app: Any, *, queue: str | None = None, attempts: int = 1) -> None:
        with requires("celery", "CeleryTasks"):
            from celery import Celery
        if not isinstance(app, Celery):
            raise DefinitionError(
                f"CeleryTasks takes a Celery application, not an object of {type(app).__name__}"
            )
        if queue is not None and not (isinstance(queue, str) and queue):
            raise DefinitionError(f"queue is the name of a queue of Celery, not {queue!r}")
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise DefinitionError(f"attempts is a number from 1 on, not {attempts!r}")
        self.attempts = attempts
        self._app: Any = app
        self._queue = queue
        self._forget_threads()
        after_fork(self._forget_threads)
        # Celery makes it when the application is complete. Of one name there is one task, however
        # many servers use the application.
        self._task = self._app.task(
            name=TASK_NAME if attempts == 1 else TASK_NAME_AGAIN,
            bind=True,
            shared=False,
            ignore_result=True,
            max_retries=None,
            acks_late=attempts > 1,
            reject_on_worker_lost=attempts > 1,
        )(_run)

    def _forget_threads(self) -> None:
        self._threads = Workers(_MAX_THREADS)

    def submit(self, payload: str) -> None:
        """Publish a payload.

        Args:
            payload: The payload.

        Raises:
            DefinitionError: If Celery would run it at once, in this process.
            Exception: If the broker did not take it, or not in time.
        """
        if self._app.conf.task_always_eager:
            raise DefinitionError(
                "task_always_eager runs tasks in the web process while their client waits: leave "
                "tasks= out instead"
            )
        task_id = read_envelope(payload).task
        published: Future[None] = Future()

        def publish() -> None:
            try:
                self._task.apply_async(
                    (payload,),
                    task_id=task_id,
                    retry=True,
                    retry_policy=_RETRY,
                    argsrepr="",
                    **({} if self._queue is None else {"queue": self._queue}),
                )
            except BaseException as error:
                published.set_exception(error)
            else:
                published.set_result(None)

        # A thread that a silent broker holds is none of the web server's.
        withdraw = self._threads.submit(publish)
        try:
            published.result(_SUBMIT_SECONDS)
        except FutureTimeout:
            # Nobody wants it any more: where all threads are held, others would wait behind it.
            withdraw()
            raise

    def revoke(self, task_id: str) -> None:
        """Tell the workers to drop a task that none of them has begun.

        Args:
            task_id: Its id.
        """

        def revoke() -> None:
            # Nobody waits for this: the task has been cancelled, and no worker runs it.
            try:
                self._app.control.revoke(task_id)
            except Exception:
                logger.warning(NOT_REVOKED, exc_info=True)

        self._threads.submit(revoke)


def _run(self: Any, payload: str) -> None:
    """Run a task of an MCP server."""
    if not run_task(payload):
        raise self.retry(countdown=_BUSY_SECONDS)
