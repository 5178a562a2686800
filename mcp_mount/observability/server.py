"""What watches all requests to a server: telemetry, the log, the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from mcp_mount.calls.call import Policy
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.observability.records import (
    Audit,
    Audited,
    CallRecord,
    Recording,
    Redaction,
    log,
    record_of_request,
)
from mcp_mount.protocol.settings import Observer
from mcp_mount.schemas.functions import DefinitionError, is_coroutine_function
from mcp_mount.transports import background
from mcp_mount.wire.errors import ProtocolError, contained, contained_async
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

if TYPE_CHECKING:
    from mcp_mount.observability.telemetry import Telemetry


class Observability:
    """The telemetry, the log and the audit of a server.

    Calls pass the policies; requests that are answered without a handler, such as lists and
    refusals, are reported to the observers.

    Attributes:
        telemetry: True, or a `Telemetry`, for spans and metrics.
        audit: Told before and after each call.
        log_calls: Whether each call is logged.
    """

    def __init__(self) -> None:
        self.telemetry: bool | Telemetry = False
        self.audit: Audit | None = None
        self.log_calls = False
        self._made: Telemetry | None = None

    def changed(
        self, *, telemetry: bool | Telemetry, audit: Audit | None, log_calls: bool
    ) -> Observability:
        """Those of a server whose options change; telemetry that was made stays if its own do not.

        Args:
            telemetry: As the attribute.
            audit: As the attribute.
            log_calls: As the attribute.
        """
        other = copy(self)
        if telemetry is not other.telemetry:
            other._made = None
        other.telemetry, other.audit, other.log_calls = telemetry, audit, log_calls
        return other

    def measure_by(self, provider: Any) -> None:
        """Let the metrics go to a meter provider: that of a router which serves them.

        Raises:
            DefinitionError: If they go elsewhere already, so that the router would serve nothing.
        """
        from mcp_mount.observability.telemetry import Telemetry

        if isinstance(self.telemetry, bool):
            self.telemetry = Telemetry(meter_provider=provider)
        elif self.telemetry.meter_provider is not provider:
            raise DefinitionError(
                "this router would serve no metrics, for telemetry= has another meter provider: "
                "write telemetry=Telemetry(meter_provider=router.meter_provider)"
            )

    def policies(self) -> list[Callable[[Redaction], Policy]]:
        """What makes the policies for an entry, the outermost first."""
        making: list[Callable[[Redaction], Policy]] = []
        if self.telemetry:
            making.append(self._telemetry().around)
        if self.log_calls:
            making.append(lambda redact: Recording(log, redact))
        if self.audit is not None:
            audit = self.audit
            making.append(lambda redact: Audited(audit, redact))
        return making

    def observers(self) -> Sequence[Observer]:
        """Who is told of requests without a handler."""
        watching: list[Observer] = []
        if self.telemetry:
            watching.append(self._telemetry())
        if self.log_calls:
            watching.append(_RecordObserver(log, refusals_only=False))
        if self.audit is not None and self.audit.after is not None:
            watching.append(_RecordObserver(self.audit.after, refusals_only=True))
        return watching

    @property
    def may_block(self) -> bool:
        """Whether the observers may take time: an audit may write to a database."""
        after = None if self.audit is None else self.audit.after
        return after is not None and not is_coroutine_function(after)

    def _telemetry(self) -> Telemetry:
        if self._made is None or self._made is not self.telemetry:
            # OpenTelemetry is imported where it is used only.
            from mcp_mount.observability.telemetry import Telemetry

            if not isinstance(self.telemetry, bool):
                self._made = self.telemetry
            elif self._made is None:
                self._made = Telemetry()
        return self._made


class _RecordObserver:
    """Hands on the record of a request that no handler was asked for."""

    def __init__(self, tell: Callable[[CallRecord], Any], *, refusals_only: bool) -> None:
        self._tell = tell
        self._refusals_only = refusals_only

    def on_request(
        self,
        incoming: IncomingRequest,
        started: float,
        result: Result | None,
        error: ProtocolError | None,
    ) -> None:
        if error is None and self._refusals_only:
            return
        record = record_of_request(incoming, started, result, error)
        if is_coroutine_function(self._tell):
            background.spawn(self._await(record))
            return
        try:
            self._tell(record)
        except BaseException as error:
            contained(error)
            _log_failure(record)

    async def _await(self, record: CallRecord) -> None:
        try:
            await self._tell(record)
        except BaseException as error:
            contained_async(error)
            _log_failure(record)


def _log_failure(record: CallRecord) -> None:
    logger.exception("The audit failed: %s %s is not in it", record.method, record.name)
