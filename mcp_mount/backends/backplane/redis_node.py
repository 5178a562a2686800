"""A process as a node of a backplane in Redis: one thread with one connection, which reads what is
published and what is sent to the node.

It reads streams from a place on, so that nothing is lost with a connection; what a channel of
Redis's publish and subscribe said meanwhile would be.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, Final

from mcp_mount.backends.redis_clients import RedisClients
from mcp_mount.calls.backplane import BEAT, NODE_SECONDS, RESYNC, Message
from mcp_mount.transports.os_threads import start_thread
from mcp_mount.transports.timed_wait import wait_at_most
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

BEGIN: Final = {"m": '{"kind":"begin"}'}
"""A message that is nobody's concern, where a stream has none: a place needs one."""

_BEAT_SECONDS: Final = 5.0
"""How often it gives a sign of life, and looks whether it has missed something."""

_BLOCK_SECONDS: Final = 2.0
"""How long Redis waits for messages before it answers that there are none."""

_SILENT_SECONDS: Final = 2.0
"""How much longer the answer may take."""

_FIRST_SECONDS: Final = 5.0
"""How long the first request waits until the node is known to others."""

_LEAVING_SECONDS: Final = 0.5

_MAX_READ: Final = 1000
"""How many messages of a stream are read at a time: no more than it keeps."""

_PAUSES: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds until Redis is tried again, and again; the last one for ever."""

# In one command: a key without an end would make a lost node live for ever.
_ENTER: Final = """
local place = redis.call('XADD', KEYS[1], '*', 'm', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return place
"""


class RedisNode:
    """Reads the messages for one node.

    Args:
        clients: Of the Redis.
        changes: The key of the messages to all.
        own: The key of those to this node.
        hear: Called with each.
    """

    def __init__(
        self, clients: RedisClients, changes: str, own: str, hear: Callable[[Message], None]
    ) -> None:
        self._clients = clients
        self._changes = changes
        self._own = own
        self._hear = hear
        self._place: str | None = None
        self._own_place = "0-0"
        self._next_beat = 0.0
        self._block_ms = 0
        self._tried: Future[None] = Future()
        self._stopped = self._is_known = False

    def start(self) -> None:
        """Begin, and wait for a moment until others know the node."""
        self._begin()
        with self._stopped_if_left():
            wait([self._tried], _FIRST_SECONDS)

    async def start_async(self) -> None:
        """As `start`, on an event loop."""
        loop = asyncio.get_running_loop()
        known = asyncio.Event()

        def tell(tried: object) -> None:
            # The loop may have ended.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(known.set)

        self._begin()
        self._tried.add_done_callback(tell)
        with self._stopped_if_left():
            await wait_at_most(known, _FIRST_SECONDS)

    def stop(self) -> None:
        """Let the thread end soon."""
        self._stopped = True
        # It would keep this for as long as the process lives.
        atexit.unregister(self._leave)

    @contextmanager
    def _stopped_if_left(self) -> Iterator[None]:
        """Stop, if whoever waits is cancelled: nobody else has what stops this then."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def _begin(self) -> None:
        start_thread(self._run, "mcp-mount-backplane", stop=self.stop)
        atexit.register(self._leave, os.getpid())

    def _leave(self, pid: int) -> None:
        """Say that the process ends: what it runs is lost at once, and not after `NODE_SECONDS`."""
        if self._stopped or not self._is_known or pid != os.getpid():
            return
        self._stopped = True
        with suppress(Exception):
            # Nobody waits for the end of a fail-over to leave.
            client = self._connect_once(_LEAVING_SECONDS)
            client.delete(self._own)
            client.close()

    def _run(self) -> None:
        failures = 0
        while not self._stopped:
            client = None
            try:
                client = self._connect()
                self._beat(client)
                # It may be allowed less than this needs.
                self._read(client, None)
                if failures:
                    logger.warning("The backplane can be reached again")
                failures = 0
                self._is_known = True
                self._note_tried()
                while not self._stopped:
                    self._read(client, self._block_ms)
            except Exception as error:
                self._is_known = False
                if not failures:
                    logger.warning("The backplane cannot be reached (%s): trying again", error)
                self._note_tried()
                time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
            finally:
                if client is not None:
                    with suppress(Exception):
                        client.close()

    def _connect(self) -> Any:
        timeout = _BLOCK_SECONDS + _SILENT_SECONDS
        # The URL may say otherwise.
        seconds = self._clients.answer_seconds(timeout) or math.inf
        self._block_ms = int(min(_BLOCK_SECONDS, seconds / 2) * 1000)
        return self._connect_once(timeout)

    def _connect_once(self, timeout: float) -> Any:
        """A client that does not connect again by itself: what is new after a restart, which has
        forgotten everything, must be looked at first."""
        return self._clients.connect(timeout=timeout, max_connections=1, retries=False)

    def _note_tried(self) -> None:
        if not self._tried.done():
            self._tried.set_result(None)

    def _beat(self, client: Any) -> None:
        """Give a sign of life, and look whether all is there that was there before."""
        is_lost = False
        if not client.expire(self._own, NODE_SECONDS):
            # Redis has restarted, or this was away for long: nobody could send anything meanwhile.
            is_lost = self._place is not None
            self._own_place = client.eval(_ENTER, 1, self._own, BEGIN["m"], NODE_SECONDS)
        if self._place is None:
            self._place = last_place(client, self._changes)
            # Requests have not waited for this.
            is_lost = self._tried.done()
        elif not client.xrange(self._changes, self._place, self._place):
            self._place = last_place(client, self._changes)
            is_lost = True
        if is_lost:
            self._tell(RESYNC)
        self._next_beat = time.monotonic() + _BEAT_SECONDS
        self._tell(BEAT)

    def _read(self, client: Any, block_ms: int | None) -> None:
        places = {self._changes: self._place, self._own: self._own_place}
        read = client.xread(places, _MAX_READ, block_ms)
        is_lost = False
        for key, messages in dict(read or {}).items():
            # The third version of Redis's protocol has them in one more list.
            new = messages[0] if isinstance(messages[0], list) else messages
            # A stream keeps as many as are read at a time: where there are fewer, none was dropped.
            if len(new) >= _MAX_READ and not client.xrange(key, places[key], places[key]):
                is_lost = True
            for place, fields in new:
                if key == self._own:
                    self._own_place = place
                else:
                    self._place = place
                self._tell_text(fields.get("m", ""))
            if key == self._own:
                # What was read is not kept: it may be large, and any client can send answers.
                client.xtrim(key, minid=self._own_place)
        if is_lost:
            self._tell(RESYNC)
        if time.monotonic() >= self._next_beat:
            self._beat(client)

    def _tell_text(self, text: str) -> None:
        message = read_message(text)
        if message is not None:
            self._tell(message)

    def _tell(self, message: Message) -> None:
        try:
            self._hear(message)
        except Exception:
            logger.exception("A message on the backplane could not be taken in")


def read_message(text: str) -> Message | None:
    """A message as `publish` and `send` write it; None for anything else.

    Args:
        text: What stands in a stream.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict) and isinstance(message.get("kind"), str):
        return message
    logger.warning("Something on the backplane is no message of this library")
    return None


def last_place(client: Any, changes: str) -> str:
    """The place after the last message to all.

    Args:
        client: Of Redis.
        changes: The key of the messages.
    """
    last = client.xrevrange(changes, "+", "-", 1)
    if last:
        place: str = last[0][0]
        return place
    begun: str = client.xadd(changes, BEGIN)
    return begun
