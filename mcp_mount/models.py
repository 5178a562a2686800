"""Chat models: what they say, where they are, and how requests are routed to several of them."""

from mcp_mount.llm.answers import (
    ChatCompletion,
    Delta,
    Finish,
    Reasoning,
    Refusal,
    ToolCall,
    ToolDelta,
    Usage,
)
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import Asking, Model, Pieces
from mcp_mount.llm.requests import ChatMessage, ChatRequest
from mcp_mount.routes.options import ModelOptions

__all__ = [
    "Asking",
    "ChatCompletion",
    "ChatMessage",
    "ChatRequest",
    "Delta",
    "Finish",
    "Model",
    "ModelError",
    "ModelOptions",
    "Pieces",
    "Reasoning",
    "Refusal",
    "ToolCall",
    "ToolDelta",
    "Usage",
]
