"""What a handler may ask for while it runs: progress, log messages, the request, the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mcp_mount.protocol.calls import LOG_LEVELS, AsyncChannel, Incoming, SyncChannel
from mcp_mount.protocol.messages import MessageId, encode_notification

_RANK: Final = {level: rank for rank, level in enumerate(LOG_LEVELS)}


class _Call:
    """What both kinds of context know about the call."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    @property
    def request_id(self) -> MessageId:
        """The JSON-RPC id of the request."""
        return self._incoming.id

    @property
    def request(self) -> Any:
        """The host framework's own request: Django's, Flask's, Starlette's."""
        return self._incoming.request.native

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers, names in lower case."""
        return self._incoming.request.headers

    @property
    def protocol_version(self) -> str:
        """The revision in use, such as "2026-07-28"."""
        return self._incoming.revision.name

    @property
    def client_info(self) -> Mapping[str, Any]:
        """Name and version that the client gave; unverified."""
        return self._incoming.client.info

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        return self._incoming.client.capabilities

    @property
    def meta(self) -> Mapping[str, Any]:
        """The request's `_meta`."""
        return self._incoming.meta

    def _progress(
        self, progress: float, total: float | None, message: str | None
    ) -> bytes | None:
        token = self._incoming.meta.get("progressToken")
        if not isinstance(token, str | int):
            return None
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        return encode_notification("notifications/progress", params)

    def _log(self, level: str, data: Any, logger_name: str | None) -> bytes | None:
        if level not in _RANK:
            raise ValueError(f"level must be one of {', '.join(LOG_LEVELS)}, not {level!r}")
        least = self._incoming.log_level
        if least is None or _RANK[level] < _RANK[least]:
            return None
        params: dict[str, Any] = {"level": level, "data": data}
        if logger_name is not None:
            params["logger"] = logger_name
        return encode_notification("notifications/message", params)


class Context(_Call):
    """The context of an `async def` handler: ask for it with a parameter `ctx: Context`.

    What it sends reaches the client at once, if the client takes an event stream; the reply then
    becomes one. A message that the client did not ask for is dropped.
    """

    def __init__(self, incoming: Incoming, channel: AsyncChannel) -> None:
        super().__init__(incoming)
        self._channel = channel

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; `progress` must grow from one report to the next."""
        await self._send(self._progress(progress, total, message))

    async def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message. Raises ValueError for a level that the protocol does not have."""
        await self._send(self._log(level, data, logger_name))

    async def debug(self, data: Any) -> None:
        await self.log("debug", data)

    async def info(self, data: Any) -> None:
        await self.log("info", data)

    async def warning(self, data: Any) -> None:
        await self.log("warning", data)

    async def error(self, data: Any) -> None:
        await self.log("error", data)

    async def _send(self, message: bytes | None) -> None:
        if message is not None:
            await self._channel.send(message)


class SyncContext(_Call):
    """The context of a `def` handler: ask for it with a parameter `ctx: SyncContext`.

    Its methods are those of `Context`, as plain calls.
    """

    def __init__(self, incoming: Incoming, channel: SyncChannel) -> None:
        super().__init__(incoming)
        self._channel = channel

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far the call is; `progress` must grow from one report to the next."""
        self._send(self._progress(progress, total, message))

    def log(self, level: str, data: Any, *, logger_name: str | None = None) -> None:
        """Send a log message. Raises ValueError for a level that the protocol does not have."""
        self._send(self._log(level, data, logger_name))

    def debug(self, data: Any) -> None:
        self.log("debug", data)

    def info(self, data: Any) -> None:
        self.log("info", data)

    def warning(self, data: Any) -> None:
        self.log("warning", data)

    def error(self, data: Any) -> None:
        self.log("error", data)

    def _send(self, message: bytes | None) -> None:
        if message is not None:
            self._channel.send(message)
