"""The setting MCP_MOUNT: the default options of all servers of a project.

MCP_MOUNT = {
    "NAME": "shop",
    "LOGIN_REQUIRED": True,
    "AUTHENTICATION": ["rest_framework.authentication.TokenAuthentication"],
}
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from mcp_mount import options
from mcp_mount.elsewhere import OF_SERVER_OPTIONS
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import suggestion
from mcp_mount.schemas.values import Check, flag

_OWN: Final = {
    "AUTHENTICATION": "authentication",
    "LOGIN_REQUIRED": "login_required",
    "TASK_CONTEXT": "task_context",
}
"""Options that only Django's `MCPServer` has."""

_ELSEWHERE: Final = {
    "ALLOWED_HOSTS": "the host names of the project are in settings.ALLOWED_HOSTS",
}
"""Options that are Django settings of their own, and what the error says about them."""

OPTIONS: Final = {
    name.upper(): name for name in options.OPTIONS if name.upper() not in _ELSEWHERE
} | _OWN
"""The keys, and the arguments of `MCPServer` that they set."""

_IMPORTED: Final = frozenset(
    [name.upper() for name, option in options.OPTIONS.items() if option.is_object]
    + ["TASK_CONTEXT"]
)
"""The keys whose values may be dotted paths, so that the settings need not import them.

PERMISSION is not among them: names of permissions look like dotted paths.
"""


def defaults() -> dict[str, Any]:
    """Return the arguments of `MCPServer` that the setting gives.

    Raises:
        ImproperlyConfigured: For an unknown key, a dotted path that cannot be imported, or an
            invalid value. A misspelt key may be the one that protects the servers.
    """
    given = getattr(settings, "MCP_MOUNT", {})
    if problems := unknown():
        raise ImproperlyConfigured("\n".join(problems))
    found = {}
    for key, value in given.items():
        found[OPTIONS[key]] = value = _imported(key, value) if key in _IMPORTED else value
        _check(key, value)
    return found


def authenticators(name: str, value: Any) -> tuple[Any, ...]:
    """Return the authenticators of the option `authentication`; a single one may be given alone.

    Args:
        name: The name of the option.
        value: What the user gave.

    Raises:
        DefinitionError: If a value can be neither imported nor called.
    """
    given = (value,) if isinstance(value, str) or callable(value) else value
    is_list = isinstance(given, Collection) and not isinstance(given, bytes)
    if not is_list or not all(isinstance(one, str) or callable(one) for one in given):
        raise DefinitionError(
            f"{name} must be authentication classes or functions of the request, or their dotted "
            f"paths, not {value!r}"
        )
    return tuple(given)


_CHECKS: Final[Mapping[str, Check]] = {
    "authentication": authenticators,
    "login_required": flag,
    # Its error names the setting and the argument already.
    "task_context": lambda name, value: value,
}
"""The checks of the options that only Django's `MCPServer` has."""


def _check(key: str, value: Any) -> None:
    """Raise ImproperlyConfigured for an invalid value, with the key that the user has written."""
    name = OPTIONS[key]
    try:
        if name in _CHECKS:
            _CHECKS[name](name, value)
        else:
            options.checked_value(name, value)
    except Exception as error:
        words = re.sub(rf"\b{name}\b", key, str(error))
        raise ImproperlyConfigured(f"MCP_MOUNT[{key!r}]: {words}") from error


def _imported(key: str, value: Any) -> Any:
    """Return the objects that dotted paths name; other values, and URLs, unchanged."""
    if isinstance(value, list | tuple):
        return [_imported(key, one) for one in value]
    is_path = isinstance(value, str) and "://" not in value
    return imported(f"MCP_MOUNT[{key!r}]", value) if is_path else value


def imported(where: str, path: str) -> Any:
    """Return the object that a dotted path names.

    Args:
        where: The setting or argument with the path, for the error.
        path: The dotted path.

    Raises:
        ImproperlyConfigured: If it cannot be imported.
    """
    try:
        return import_string(path)
    except ImportError as error:
        module = path.rpartition(".")[0]
        if getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False):
            # The module imports `server`, and this is what the server is being made of.
            raise ImproperlyConfigured(
                f"{where} names {path!r}, and the module {module!r} imports the server that needs "
                "it: move it to a module that neither creates nor imports a server."
            ) from error
        raise ImproperlyConfigured(f"{where} names {path!r}: {error}") from error


def unknown() -> list[str]:
    """Return a sentence for each unknown key of the setting, or one if the setting is
    not a dict.
    """
    given = getattr(settings, "MCP_MOUNT", {})
    if not isinstance(given, Mapping):
        return [f"MCP_MOUNT must be a dict, not {given!r}"]
    wrong = sorted(set(map(str, given)) - set(OPTIONS))
    return [f"MCP_MOUNT has no key {key!r}; {_instead_of(key)}" for key in wrong]


def _instead_of(key: str) -> str:
    """Return what to write in place of an unknown key, as the end of a sentence."""
    plain = key.removeprefix("MCP_")
    if plain in OPTIONS:
        return f"write {plain!r}, as Flask alone has the prefix"
    hint = _ELSEWHERE.get(key) or OF_SERVER_OPTIONS.get(key.lower())
    return hint or suggestion(key, OPTIONS)


def misplaced() -> list[str]:
    """Return the settings outside of MCP_MOUNT that have the name of one of its keys, after MCP_,
    as in Flask.
    """
    return sorted(f"MCP_{key}" for key in OPTIONS if hasattr(settings, f"MCP_{key}"))
