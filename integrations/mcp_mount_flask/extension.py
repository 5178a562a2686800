"""The Flask extension, which serves the server as routes of the application."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from fastapi import APIRouter
from flask import Flask
from flask import Request as FlaskRequest
from typing_extensions import Unpack

from mcp_mount.base import MCPServer, refuse_unknown_server_options
from mcp_mount.elsewhere import OF_FLASK_KEYS
from mcp_mount.features import DefinitionError
from mcp_mount.hosting.namesakes import refuse_namesakes
from mcp_mount.openapi.adding import Exposed
from mcp_mount.options import (
    OPTIONS,
    NamedMCPServerOptions,
    configured,
    refuse_tasks_without_backplane,
    refuse_unverified,
)
from mcp_mount.routes.options import IncludeOptions
from mcp_mount.routes.router import HandlerDecorators
from mcp_mount.schemas.arguments import request_types
from mcp_mount.schemas.names import refuse_unknown
from mcp_mount.schemas.values import filled
from mcp_mount.transports.paths import clean_prefix
from mcp_mount.wire.resource_metadata import AUTHORIZATION_SERVERS, WELL_KNOWN
from mcp_mount_flask.commands import add_commands
from mcp_mount_flask.csrf import exempt
from mcp_mount_flask.exposing import FlaskExposeOptions, check_options, expose
from mcp_mount_flask.host import has_own_gate, host_of
from mcp_mount_flask.mounts import add_mount, check_application
from mcp_mount_flask.root import add_root, has_origin
from mcp_mount_flask.view import FlaskViews

request_types.append(FlaskRequest)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class MCPMount(HandlerDecorators):
    """The Flask extension: `mcp = MCPMount(app, "/mcp")`, or `MCPMount()` and `init_app` later.

    `@mcp.tool`, `@mcp.prompt` and the other decorators register on `mcp.server`. Each request to
    the server is a request of the application: before_request functions and error handlers apply,
    and plain functions run in the request context.

    Args:
        app: The application. Without it, call `init_app` later.
        path: The path of the server.
        server: An existing server. By default a new one is created.
        config_prefix: What the configuration keys for this server begin with. Choose another one
            where the application has keys of its own that begin with MCP_, or where each of
            several servers has options of its own.
        options: The options of `MCPServer` for a new server.

    Attributes:
        server: The server.
        path: The path of the server.
        exposed: What `expose` has done, for each application.

    Raises:
        TypeError: If `app` is not a Flask application, `server` is not an MCPServer, or both a
            server and options are given.
        DefinitionError: If an option does not exist, and as for `init_app`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        path: str = "/mcp",
        server: MCPServer | None = None,
        *,
        config_prefix: str = "MCP_",
        **options: Unpack[NamedMCPServerOptions],
    ) -> None:
        if server is not None and options:
            raise TypeError("give either a server or the options for one")
        if isinstance(app, str):
            raise TypeError("the application comes first: MCPMount(app, path)")
        refuse_unknown_server_options(self, options)
        if app is not None:
            check_application(app, "MCPMount")
        if server is not None and not isinstance(server, MCPServer):
            raise TypeError(f"server= must be an MCPServer, not {type(server).__name__}")
        self.path = clean_prefix(path)
        self._config_prefix = _checked_prefix(config_prefix)
        options.setdefault("name", app.name if app is not None else "flask")
        self.server = server or MCPServer(**options)
        self.registry = self.server.registry
        self._views = FlaskViews(self.server, self.path)
        self.exposed: list[Exposed] = []
        self._exposes: list[FlaskExposeOptions] = []
        self._apps: WeakSet[Flask] = WeakSet()
        if app is not None:
            self.init_app(app)

    if not TYPE_CHECKING:
        # Type checkers would take any attribute for one that is there.
        def __getattr__(self, name: str) -> Any:
            server = vars(self).get("server")
            is_servers = not name.startswith("_") and hasattr(server, name)
            hint = f": the server has it, mcp.server.{name}" if is_servers else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    @property
    def title(self) -> str:
        """The name of the server."""
        return self.server.title

    def include_router(self, router: APIRouter, **options: Unpack[IncludeOptions]) -> None:
        """Include a router in the server: see `MCPServer.include_router`.

        Its HTTP routes are below the path of the server: `/mcp/v1/chat/completions`.

        Args:
            router: One of ours, or FastAPI's.
            options: FastAPI's.

        Raises:
            DefinitionError: As `MCPServer.include_router`.
        """
        self.server.include_router(router, **options)

    def init_app(self, app: Flask) -> None:
        """Mount the server in an application. Its state is kept in `app.extensions["mcp_mount"]`.

        Configuration keys with the prefix MCP_, or another `config_prefix`, set the options of
        `MCPServer`: MCP_NAME, MCP_INSTRUCTIONS, …

        Args:
            app: The application. An extension may be initialised with several.

        Raises:
            TypeError: If `app` is not a Flask application.
            DefinitionError: If a configuration key does not exist or has an invalid value, or the
                application already has a server at this path, or one of this name that shares the
                backplane.
        """
        check_application(app, "MCPMount.init_app")
        if self.path in app.extensions.get("mcp_mount", {}):
            raise DefinitionError(
                f"the application already has a server at {self.path!r}: choose another path"
            )
        given = self._configured(app)
        mounts = app.extensions.get("mcp_mount", {}).values()
        refuse_namesakes(self.server.core, [one.server.core for one in mounts], given)
        host = replace(
            host_of(app),
            serves_metadata=lambda path: path == self.path,
            serves_issuer=lambda path: path == self.path and has_origin(app, self.path),
            guards=lambda: has_own_gate(app),
            request_type=FlaskRequest,
        )
        self.server.core.attach(host, given)
        for options in self._exposes:
            self.exposed.append(expose(app, self.server, **options))
        self._apps.add(app)
        add_mount(app, self.path, self)
        add_commands(app)
        exempt(app, self._views.serve)
        endpoint = "mcp_mount" + self.path.replace("/", "_").replace(".", "_")
        for rule in (self.path, f"{self.path}/", f"{self.path}/<path:rest>"):
            app.add_url_rule(
                rule,
                endpoint=endpoint,
                view_func=self._views.serve,
                methods=_METHODS,
                provide_automatic_options=False,
                strict_slashes=True,
            )

        add_root(app, self, self._views)
        exempt(app, self._views.alias)
        for place in (WELL_KNOWN, *AUTHORIZATION_SERVERS):
            whole = place + self.path
            view = partial(self._views.authorization_server, whole)
            for rule in (whole, f"{whole}/"):
                app.add_url_rule(
                    rule,
                    endpoint=f"{endpoint}{place.replace('/', '_').replace('.', '_')}",
                    view_func=self._views.metadata if place == WELL_KNOWN else view,
                    provide_automatic_options=False,
                    methods=["GET", "OPTIONS"],
                    strict_slashes=True,
                )

    def _configured(self, app: Flask) -> dict[str, Any]:
        """Return the options that the configuration of an application sets, checked.

        Raises:
            DefinitionError: If a key does not exist or has an invalid value, or needs another one.
                A misspelt key may be the one that protects the server, so it is not ignored.
        """
        prefix = self._config_prefix
        given = app.config.get_namespace(prefix, lowercase=False)
        keys = {prefix + name.upper(): name for name in OPTIONS}
        try:
            refuse_unknown(
                "the Flask configuration: MCPMount has no key",
                [prefix + name for name in given],
                keys,
                {prefix + name.upper(): hint for name, hint in OF_FLASK_KEYS.items()},
            )
        except DefinitionError as error:
            raise DefinitionError(
                f"{error}\nIf the application has such keys of its own, let those of the server "
                'begin otherwise: MCPMount(…, config_prefix="SHOP_MCP_")'
            ) from None
        found = configured(keys, {prefix + name: value for name, value in given.items()})
        auth = found.get("auth", self.server.core.values["auth"])
        refuse_unverified(f"{prefix}AUTH_REQUIRED", found.get("auth_required"), auth)
        values = {**self.server.core.values, **found}
        refuse_tasks_without_backplane(prefix, values["tasks"], values["backplane"])
        return found

    def expose(self, **options: Unpack[FlaskExposeOptions]) -> Exposed | None:
        """Make tools of routes, as `mcp_mount_flask.expose`, in each application of this extension.

        In a factory, call `init_app` after the routes are registered.

        Args:
            options: The options of `mcp_mount_flask.expose`.

        Returns:
            What it has done; None if there is no application yet. `init_app` then exposes the
            routes, and `exposed` has the result.

        Raises:
            DefinitionError: If an option does not exist or has an invalid value, and as
                `mcp_mount_flask.expose`; applications that follow are not affected.
        """
        refuse_unknown("MCPMount.expose has no option", options, FlaskExposeOptions.__annotations__)
        if not self._apps:
            # `init_app` checks the rest, for which it takes an application.
            check_options(options)
        for app in list(self._apps):
            self.exposed.append(expose(app, self.server, **options))
        # Applications to come get what the present ones have taken.
        self._exposes.append(options)
        return self.exposed[-1] if self._apps else None


def _checked_prefix(prefix: str) -> str:
    """Return the prefix of configuration keys, if Flask can have such keys: in upper case.

    Raises:
        DefinitionError: If it cannot, or if the prefix does not end with "_".
    """
    if not filled("config_prefix", prefix).endswith("_") or not prefix.isupper():
        raise DefinitionError(
            f'config_prefix is in upper case and ends with "_", such as "SHOP_MCP_", not {prefix!r}'
        )
    return prefix
