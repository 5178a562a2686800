"""The path of a request, as the client wrote it."""

from __future__ import annotations

from django.http import HttpRequest


def prefix_of(request: HttpRequest) -> str:
    """Return the prefix of the project: SCRIPT_NAME, root_path or FORCE_SCRIPT_NAME."""
    script: str = getattr(request, "script_name", "")
    return script.rstrip("/") or request.path.removesuffix(request.path_info)


def path_of(request: HttpRequest) -> str:
    """Return the whole path of a request, including the prefix.

    `request.path` is this path, except under ASGI in Django 5.2 and later behind a proxy that
    strips the prefix.
    """
    prefix, path = prefix_of(request), request.path
    return path if path == prefix or path.startswith(f"{prefix}/") else prefix + path


def mount_of(request: HttpRequest, rest: str | None) -> str:
    """Return the path of the server that a request is for.

    Args:
        request: The request.
        rest: The part of the path below the server, without the leading slash, or None.
    """
    path = path_of(request)
    return path if rest is None else path[: len(path) - len(rest) - 1]
