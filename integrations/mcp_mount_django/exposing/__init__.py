"""Tools from what a project already has: models, views, forms, and endpoints of REST framework."""

from mcp_mount.openapi.marking import as_tool
from mcp_mount_django.exposing.queries import ModelQuery

__all__ = ["ModelQuery", "as_tool"]
