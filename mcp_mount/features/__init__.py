"""What a server offers: from a Python function to its wire definition, validator and result."""

from mcp_mount.features.content import Audio, File, Image
from mcp_mount.features.registry import Registry
from mcp_mount.features.tools import Tool
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.mirrored import McpHeader
from mcp_mount.wire.errors import ToolError

__all__ = [
    "Audio",
    "DefinitionError",
    "File",
    "Image",
    "McpHeader",
    "Registry",
    "Tool",
    "ToolError",
]
