"""Mount an MCP server inside the web application that you already run."""

from typing import TYPE_CHECKING, Any

from mcp_mount.backends.models.chat import ChatMessage, ChatRequest
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
from mcp_mount.policies import Audit, Cache, CallRecord, MaxConcurrency, Throttle, Timeout
from mcp_mount.routes import CompletionsRouter, ImageRouter, MCPRouter, ToolsRouter
from mcp_mount.wire.errors import (
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

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "AssistantMessage",
    "Audio",
    "Audit",
    "Cache",
    "Call",
    "CallRecord",
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
    "Image",
    "ImageRouter",
    "MCPError",
    "MCPRouter",
    "MCPServer",
    "MaxConcurrency",
    "McpHeader",
    "Message",
    "ProtocolError",
    "ResourceContent",
    "ResourceError",
    "ResourceNotFoundError",
    "Result",
    "SyncContext",
    "TaskLimits",
    "TaskPolicy",
    "Throttle",
    "Timeout",
    "ToolError",
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
        refuse_import(name)
