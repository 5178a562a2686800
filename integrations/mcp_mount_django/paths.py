"""The path of a request, as its client wrote it."""

from __future__ import annotations

from django.http import HttpRequest


def prefix_of(request: HttpRequest) -> str:
    """The prefix that the project is served below: SCRIPT_NAME, root_path, FORCE_SCRIPT_NAME."""
    script: str = getattr(request, "script_name", "")
    return script.rstrip("/") or request.path.removesuffix(request.path_info)


def path_of(request: HttpRequest) -> str:
    """The whole path of a request, prefix and all.

    `request.path` is that, but for ASGI in Django 5.2 and later behind a proxy that takes the
    prefix away: there it is without.
    """
    prefix, path = prefix_of(request), request.path
    return path if path == prefix or path.startswith(f"{prefix}/") else prefix + path


def mount_of(request: HttpRequest, rest: str | None) -> str:
    """The path of the server that a request is for.

    Args:
        request: The request.
        rest: What of the path is below the server, without the slash before it; None for nothing.
    """
    path = path_of(request)
    return path if rest is None else path[: len(path) - len(rest) - 1]
