"""What a project has already, as tools: its models, its views, its REST framework's endpoints."""

from mcp_mount.openapi.marking import as_tool
from mcp_mount_django.exposing.queries import ModelQuery

__all__ = ["ModelQuery", "as_tool"]
