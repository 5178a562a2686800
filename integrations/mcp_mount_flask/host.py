"""What a server asks of its Flask application."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask

from mcp_mount.base import Host


def host_of(app: Flask) -> Host:
    """The Flask application as the host of a server: its keys, debug flag and host names."""

    def secret_keys() -> Sequence[str]:
        keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or ()), app.config.get("SECRET_KEY")]
        return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys if key]

    def host_names() -> Sequence[str]:
        return list(app.config.get("TRUSTED_HOSTS") or ())

    return Host(secret_keys=secret_keys, debug=lambda: app.debug, host_names=host_names)
