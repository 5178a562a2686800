"""The requests of tasks in other processes: what is kept of the request that began a task, and what
a worker makes of that.

A worker makes a request that stands for it: with the same caller, token, scopes, roles, host name
and mount point, and without other headers or a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from starlette.authentication import AuthCredentials

from mcp_mount.backends.tasks.payloads import Origin
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import Callers, accepted_languages
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.transports.environs import Environ, make_environ
from mcp_mount.transports.scopes import ENDPOINT, Scope
from mcp_mount.wire.messages import UNASKED


def origin_of(call: Call, callers: Callers, data: Mapping[str, Any]) -> Origin:
    """What is kept of the request of a call.

    Args:
        call: The call.
        callers: Tells the callers of the server apart.
        data: What the host needs to know the caller again.
    """
    request = call.incoming.request
    has_key = callers.function is not None
    return Origin(
        caller=request.caller(),
        key=callers.key_of(request) if has_key else None,
        has_key=has_key,
        token=request.token,
        host_name=request.headers.get("host", ""),
        mount=request.mount,
        url=request.url(),
        languages=accepted_languages(request),
        is_local=request.is_trusted_local,
        data=data,
    )


def data_of_scope(request: ProtocolRequest) -> Mapping[str, Any]:
    """What Starlette's AuthenticationMiddleware has found out about a caller.

    Args:
        request: The request.
    """
    scope: Mapping[str, Any] = getattr(request.host_request(), "scope", {})
    data: dict[str, Any] = {}
    if "auth" in scope and request.token is None:
        data["scopes"] = list(scope["auth"].scopes)
    user: Any = scope.get("user")
    if getattr(user, "is_authenticated", False):
        data["roles"] = [str(one) for one in getattr(user, "roles", None) or ()]
        data["name"] = str(user.display_name)
    return data


def headers_of(origin: Origin) -> dict[str, str]:
    """The headers of the request that stands for the one which began a task.

    Args:
        origin: What is kept of that.
    """
    found = {"host": origin.host_name, "accept-language": origin.languages}
    return {name: value for name, value in found.items() if value}


def scope_of(origin: Origin) -> Scope:
    """The scope of such a request.

    Args:
        origin: What is kept of the request that began the task.
    """
    headers = headers_of(origin).items()
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": (origin.url or "").partition("://")[0] or "http",
        "path": origin.mount or "/",
        "root_path": origin.mount,
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        ENDPOINT: origin.mount,
    }
    if "scopes" in origin.data:
        scope["auth"] = AuthCredentials(origin.data["scopes"])
    if origin.caller is not None:
        scope["user"] = SimpleNamespace(
            is_authenticated=True,
            identity=origin.caller,
            display_name=origin.data.get("name", origin.caller),
            roles=origin.data.get("roles", []),
        )
    return scope


def environ_of(origin: Origin) -> Environ:
    """The environment of such a request, under WSGI.

    Args:
        origin: What is kept of the request that began the task.
    """
    environ = make_environ("POST", origin.mount or "/", headers_of(origin))
    if origin.caller is not None and origin.token is None:
        environ["REMOTE_USER"] = origin.caller
    return environ


def completed(request: ProtocolRequest, origin: Origin) -> ProtocolRequest:
    """A request that stands for the one which began a task, with its token and its caller.

    Args:
        request: As the host makes it.
        origin: What it was made of.
    """
    return replace(
        request,
        caller=lambda: origin.caller,
        caller_key=origin.key if origin.has_key else UNASKED,
        token=origin.token,
        mount=origin.mount,
        url=lambda: origin.url,
        is_trusted_local=origin.is_local,
    )
