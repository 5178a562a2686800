"""Endpoints that an application has already, as tools, by an OpenAPI document of them."""

from mcp_mount.openapi.adding import Exposed
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.exposing import expose_document
from mcp_mount.openapi.marking import as_tool
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer

__all__ = ["Answer", "Exposed", "Operation", "ResponseBody", "Sent", "as_tool", "expose_document"]
