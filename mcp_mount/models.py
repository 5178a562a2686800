"""Chat models: what they say, where they are, and how requests are routed to several of them."""

from mcp_mount.backends.models.adapters.clients import ClientModel
from mcp_mount.backends.models.adapters.sampling import Sampling
from mcp_mount.backends.models.routing.choices import Candidate, ModelChoice
from mcp_mount.backends.models.routing.health import Breaker
from mcp_mount.backends.models.routing.routes import Route
from mcp_mount.backends.models.standin import stand_in
from mcp_mount.backends.models.tools import Tools
from mcp_mount.backends.models.upstreams.anthropic import Anthropic
from mcp_mount.backends.models.upstreams.connections import ConnectionOptions
from mcp_mount.backends.models.upstreams.openai import OpenAI
from mcp_mount.features.prices import Price
from mcp_mount.llm.answers import (
    ChatCompletion,
    Delta,
    Embeddings,
    Finish,
    Reasoning,
    Refusal,
    ToolCall,
    ToolDelta,
    ToolProgress,
    Usage,
)
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.media import AudioPart, ImagePart
from mcp_mount.llm.models import EmbeddingModel, Invocation, Model, Pieces
from mcp_mount.llm.requests import ChatMessage, ChatRequest
from mcp_mount.policies.budget import Budget
from mcp_mount.routes.options import EmbeddingOptions, ModelOptions

__all__ = [
    "Anthropic",
    "AudioPart",
    "Breaker",
    "Budget",
    "Candidate",
    "ChatCompletion",
    "ChatMessage",
    "ChatRequest",
    "ClientModel",
    "ConnectionOptions",
    "Delta",
    "EmbeddingModel",
    "EmbeddingOptions",
    "Embeddings",
    "Finish",
    "ImagePart",
    "Invocation",
    "Model",
    "ModelChoice",
    "ModelError",
    "ModelOptions",
    "OpenAI",
    "Pieces",
    "Price",
    "Reasoning",
    "Refusal",
    "Route",
    "Sampling",
    "ToolCall",
    "ToolDelta",
    "ToolProgress",
    "Tools",
    "Usage",
    "stand_in",
]
