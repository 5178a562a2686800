"""Mount an MCP server inside the web application that you already run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.base import MCPServer
from mcp_mount.calls.call import Call
from mcp_mount.calls.results import Result
from mcp_mount.calls.tasks import TaskLimits, TaskPolicy
from mcp_mount.context.context import Context, SyncContext
from mcp_mount.context.elicitation import Elicited, elicitation, roots, sampling, url_elicitation
from mcp_mount.context.nested import ResourceContent
from mcp_mount.elsewhere import refuse_import
from mcp_mount.features import Audio, DefinitionError, File, Image, McpHeader, ToolError
from mcp_mount.features.completion import Completion
from mcp_mount.features.prompts import AssistantMessage, Message, UserMessage
from mcp_mount.llm.requests import ChatMessage, ChatRequest
from mcp_mount.options import ServerOptions
from mcp_mount.policies import Audit, Cache, CallRecord, MaxConcurrency, Throttle, Timeout
from mcp_mount.policies.middleware import CallNext, SyncCallNext
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.health import HealthRouter
from mcp_mount.routes.metrics import PrometheusRouter
from mcp_mount.routes.options import (
    PageOptions,
    PromptOptions,
    ResourceOptions,
    RouterOptions,
    ToolOptions,
)
from mcp_mount.routes.router import MCPRouter
from mcp_mount.routes.tools import ToolsRouter
from mcp_mount.wire.errors import (
    CallRejected,
    ClientError,
    MCPError,
    ProtocolError,
    ResourceError,
    ResourceNotFoundError,
)
from mcp_mount.wire.rules import Caller
from mcp_mount.wire.tokens import AccessToken
from mcp_mount.wrapping.asgi import mount_asgi
from mcp_mount.wrapping.wsgi import mount_wsgi

if TYPE_CHECKING:
    from mcp_mount.observability.telemetry import Telemetry
    from mcp_mount.routes.completions import CompletionsRouter
    from mcp_mount.routes.images import ImageRouter

_WHEN_ASKED: Final = {
    "CompletionsRouter": "mcp_mount.routes.completions",
    "ImageRouter": "mcp_mount.routes.images",
    "Telemetry": "mcp_mount.observability.telemetry",
}
"""Names that most servers do without, and the modules that they are in. These are imported when a
name is asked for: with what they need, they are a tenth of what importing this package takes."""

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "AssistantMessage",
    "Audio",
    "Audit",
    "Cache",
    "Call",
    "CallNext",
    "CallRecord",
    "CallRejected",
    "Caller",
    "ChatMessage",
    "ChatRequest",
    "ClientError",
    "Completion",
    "CompletionsRouter",
    "Context",
    "DefinitionError",
    "Elicited",
    "File",
    "HealthRouter",
    "Image",
    "ImageRouter",
    "MCPError",
    "MCPRouter",
    "MCPServer",
    "MaxConcurrency",
    "McpHeader",
    "Message",
    "PageOptions",
    "PolicyOptions",
    "PrometheusRouter",
    "PromptOptions",
    "ProtocolError",
    "ResourceContent",
    "ResourceError",
    "ResourceNotFoundError",
    "ResourceOptions",
    "Result",
    "RouterOptions",
    "ServerOptions",
    "SyncCallNext",
    "SyncContext",
    "TaskLimits",
    "TaskPolicy",
    "Telemetry",
    "Throttle",
    "Timeout",
    "ToolError",
    "ToolOptions",
    "ToolsRouter",
    "UserMessage",
    "elicitation",
    "mount_asgi",
    "mount_wsgi",
    "roots",
    "sampling",
    "url_elicitation",
]


if not TYPE_CHECKING:
    # Type checkers would take any name for one that is there.
    def __getattr__(name: str) -> Any:
        module = _WHEN_ASKED.get(name)
        if module is None:
            return refuse_import(name)
        value = globals()[name] = getattr(import_module(module), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
