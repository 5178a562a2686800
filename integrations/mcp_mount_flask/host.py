"""What a server asks of its Flask application."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, copy_context
from typing import Any

from flask import Flask, copy_current_request_context, has_request_context

from mcp_mount.base import Host
from mcp_mount.protocol.calls import Call


def host_of(app: Flask) -> Host:
    """The Flask application as the host of a server: its keys, debug flag and host names."""

    def secret_keys() -> Sequence[str]:
        keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or ()), app.config.get("SECRET_KEY")]
        return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys if key]

    def host_names() -> Sequence[str]:
        return list(app.config.get("TRUSTED_HOSTS") or ())

    def detach(call: Call) -> Context:
        """Give a task contexts of its own: those of its request are torn down before it ends."""
        function = call.function
        if call.is_async:

            async def in_app_context(*args: Any, **kwargs: Any) -> Any:
                with app.app_context():
                    return await function(*args, **kwargs)

            call.function = in_app_context
        elif has_request_context():
            call.function = copy_current_request_context(function)
        return _without_flask(copy_context())

    return Host(
        secret_keys=secret_keys, debug=lambda: app.debug, host_names=host_names, detach=detach
    )


def _without_flask(context: Context) -> Context:
    """The same context variables, without Flask's own: it makes new ones where it has none."""
    clean = Context()
    for variable, value in context.items():
        if not variable.name.startswith("flask."):
            clean.run(variable.set, value)
    return clean
