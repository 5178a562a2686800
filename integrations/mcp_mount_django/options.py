"""The setting MCP_MOUNT: what the servers of a project have in common, unless they say otherwise.

MCP_MOUNT = {
    "NAME": "shop",
    "LOGIN_REQUIRED": True,
    "AUTHENTICATION": ["rest_framework.authentication.TokenAuthentication"],
}
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings

OPTIONS: Final = {
    "NAME": "name",
    "VERSION": "version",
    "TITLE": "server_title",
    "DESCRIPTION": "description",
    "WEBSITE_URL": "website_url",
    "ICONS": "icons",
    "INSTRUCTIONS": "instructions",
    "SECRET_KEY": "secret_key",
    "MAX_BODY_BYTES": "max_body_bytes",
    "ALLOWED_ORIGINS": "allowed_origins",
    "SESSION_TTL": "session_ttl",
    "LIST_TTL_MS": "list_ttl_ms",
    "PAGE_SIZE": "page_size",
    "DOCS": "docs",
    "PERMISSION": "permission",
    "LOGIN_REQUIRED": "login_required",
    "AUTHENTICATION": "authentication",
}
"""The keys, and the arguments of `MCPServer` that they stand for."""


def defaults() -> dict[str, Any]:
    """The arguments that the setting gives; keys that are none are left to the system check."""
    given = getattr(settings, "MCP_MOUNT", {})
    return {OPTIONS[key]: value for key, value in given.items() if key in OPTIONS}


def unknown() -> list[str]:
    """The keys of the setting that mean nothing."""
    return sorted(set(getattr(settings, "MCP_MOUNT", {})) - set(OPTIONS))
