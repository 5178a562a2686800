"""The setting MCP_MOUNT: what the servers of a project have in common, unless they say otherwise.

MCP_MOUNT = {
    "NAME": "shop",
    "LOGIN_REQUIRED": True,
    "AUTHENTICATION": ["rest_framework.authentication.TokenAuthentication"],
}
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from mcp_mount.features.names import suggestion

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
    "KEEP_ALIVE": "keep_alive",
    "TASK_LIMITS": "task_limits",
    "TASK_CONTEXT": "task_context",
    "LIST_TTL_MS": "list_ttl_ms",
    "PAGE_SIZE": "page_size",
    "DOCS": "docs",
    "CALLER": "caller",
    "OPEN": "open",
    "PERMISSION": "permission",
    "LOGIN_REQUIRED": "login_required",
    "AUTHENTICATION": "authentication",
    "AUTH": "auth",
    "AUTH_REQUIRED": "auth_required",
    "RESOURCE": "resource",
    "FIND_USER": "find_user",
    "SCOPE_HIERARCHY": "scope_hierarchy",
    "LIST_STEP_UP": "list_step_up",
    "STORE": "store",
    "TELEMETRY": "telemetry",
    "LOG_CALLS": "log_calls",
    "AUDIT": "audit",
    "SCOPES": "scopes",
    "ROLES": "roles",
    "WHEN": "when",
    "THROTTLE": "throttle",
    "MAX_CONCURRENCY": "max_concurrency",
    "TIMEOUT": "timeout",
    "CACHE": "cache",
    "EXTRA_ARGUMENTS": "extra_arguments",
    "MAX_ARGUMENT_DEPTH": "max_argument_depth",
    "MAX_RESULT_BYTES": "max_result_bytes",
    "REDACT": "redact",
    "CALL_MIDDLEWARE": "call_middleware",
}
"""The keys, and the arguments of `MCPServer` that they stand for."""

_IMPORTED: Final = frozenset(
    {
        "AUTH",
        "CALLER",
        "FIND_USER",
        "TASK_CONTEXT",
        "TASK_LIMITS",
        "AUDIT",
        "WHEN",
        "CALL_MIDDLEWARE",
    }
)
"""Those whose values may be dotted paths, so that settings need not import them."""


def defaults() -> dict[str, Any]:
    """The arguments that the setting gives.

    Raises:
        ImproperlyConfigured: For a key that means nothing, and a dotted path that leads nowhere. A
            misspelt one may be what guards the servers.
    """
    given = getattr(settings, "MCP_MOUNT", {})
    if problems := unknown():
        raise ImproperlyConfigured("\n".join(problems))
    return {
        OPTIONS[key]: _imported(key, value) if key in _IMPORTED else value
        for key, value in given.items()
    }


def _imported(key: str, value: Any) -> Any:
    """What dotted paths name; all else as it is."""
    if isinstance(value, list | tuple):
        return [_imported(key, one) for one in value]
    return imported(f"MCP_MOUNT[{key!r}]", value) if isinstance(value, str) else value


def imported(where: str, path: str) -> Any:
    """What a dotted path names.

    Args:
        where: The setting or argument that it stands in, for the error.
        path: The dotted path.

    Raises:
        ImproperlyConfigured: If there is nothing.
    """
    try:
        return import_string(path)
    except ImportError as error:
        module = path.rpartition(".")[0]
        if getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False):
            # The module imports `server`, and this is what the server is being made of.
            raise ImproperlyConfigured(
                f"{where} names {path!r}, and the module {module!r} imports the server that needs "
                "it: put it in a module of its own that makes or imports no server."
            ) from error
        raise ImproperlyConfigured(f"{where} names {path!r}: {error}") from error


def unknown() -> list[str]:
    """A sentence for each key of the setting that means nothing, or for a setting that is no
    dict."""
    given = getattr(settings, "MCP_MOUNT", {})
    if not isinstance(given, Mapping):
        return [f"MCP_MOUNT is a dict, not {given!r}"]
    wrong = sorted(set(map(str, given)) - set(OPTIONS))
    return [f"MCP_MOUNT has no key {key!r}; {suggestion(key, OPTIONS)}" for key in wrong]
