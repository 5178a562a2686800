"""Mount an MCP server inside the web application that you already run."""

from typing import TYPE_CHECKING, Any

from mcp_mount.base import MCPServer
from mcp_mount.chaining import ResourceContent
from mcp_mount.context import Context, SyncContext
from mcp_mount.elsewhere import refuse_import
from mcp_mount.features import Audio, DefinitionError, File, Image, McpHeader, ToolError
from mcp_mount.features.completion import Completion
from mcp_mount.features.prompts import AssistantMessage, Message, UserMessage
from mcp_mount.inquiries import Elicited, elicitation, roots, sampling, url_elicitation
from mcp_mount.llm.chat import ChatMessage, ChatRequest
from mcp_mount.mounting import mount_asgi, mount_wsgi
from mcp_mount.policies import Audit, Cache, CallRecord, MaxConcurrency, Throttle, Timeout
from mcp_mount.protocol.calls import Call, Result
from mcp_mount.protocol.errors import (
    ClientError,
    MCPError,
    ProtocolError,
    ResourceError,
    ResourceNotFoundError,
)
from mcp_mount.protocol.rules import Caller
from mcp_mount.protocol.tasks import TaskLimits, TaskPolicy
from mcp_mount.protocol.tokens import AccessToken
from mcp_mount.routes import CompletionsRouter, ImageRouter, MCPRouter, ToolsRouter

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
