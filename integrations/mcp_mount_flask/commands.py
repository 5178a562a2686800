"""`flask mcp`: list what a mounted server has, call a tool, serve an assistant on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from mcp_mount import console
from mcp_mount.base import MCPServer
from mcp_mount.cli import protected_output, serve_stdio
from mcp_mount.protocol import Request
from mcp_mount.tasks.contexts import context_without
from mcp_mount_flask.host import current_caller, current_role
from mcp_mount_flask.mounts import unmatched

group = AppGroup("mcp", help="List, call and serve the MCP servers of this application.")

_path = click.option("--path", help="Where the server is mounted, if there are several.")
_user = click.option("--user", help="With the rights of this user (Flask-Login's id).")


def add_commands(app: Flask) -> None:
    """Give an application the group, once."""
    if "mcp" not in app.cli.commands:
        app.cli.add_command(group)


@group.command("list")
@_path
@_user
def list_entries(path: str | None, user: str | None) -> None:
    """List tools, resources and prompts."""
    with _caller(user) as caller:
        try:
            for line in console.Console(_server(path), caller).list():
                click.echo(line)
        except console.CommandError as error:
            raise click.ClickException(str(error)) from None
    if problems := unmatched(current_app._get_current_object()):  # type: ignore[attr-defined]
        # What is listed may be half of it: a wrong set-up is no success.
        raise click.ClickException("\n".join(problems))


@group.command("call")
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("--json", "given", default="{}", help="The arguments as an object.")
@_path
@_user
def call_tool(
    name: str, arguments: tuple[str, ...], given: str, path: str | None, user: str | None
) -> None:
    """Call a tool, with ARGUMENTS as argument=value."""
    try:
        values = json.loads(given)
    except ValueError as error:
        raise click.ClickException(f"--json: {error}") from None
    if not isinstance(values, dict):
        raise click.ClickException("--json must be an object")
    with _caller(user) as caller:
        try:
            outcome = console.Console(_server(path), caller).call(name, arguments, values)
        except console.CommandError as error:
            raise click.ClickException(str(error)) from None
    if outcome.failed:
        raise click.ClickException(outcome.text)
    click.echo(outcome.text)


@group.command("stdio")
@_path
@_user
def stdio(path: str | None, user: str | None) -> None:
    """Serve an assistant on this machine, on standard input and output."""
    server = _server(path)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with _caller(user):
        # Before the client is served: this tells of a user who is not there.
        pass
    # Not within the context of the command, which Flask would use for every message.
    context_without("flask.").run(_serve, app, server, user)


def _serve(app: Flask, server: MCPServer, user: str | None) -> None:
    with protected_output() as sink:
        serve_stdio(server, sys.stdin.buffer, sink, partial(_caller, user, app))


def _server(path: str | None) -> MCPServer:
    mounts: dict[str, Any] = current_app.extensions["mcp_mount"]
    if path is None:
        if len(mounts) > 1:
            raise click.ClickException(f"Choose one with --path: {', '.join(sorted(mounts))}")
        path = next(iter(mounts))
    try:
        server: MCPServer = mounts[path.rstrip("/")].server
    except KeyError:
        known = ", ".join(sorted(mounts))
        raise click.ClickException(f"There is no server at {path!r}, only at {known}") from None
    return server


@contextmanager
def _caller(user: str | None, app: Flask | None = None) -> Iterator[Request]:
    """A request of somebody at the terminal, in its context."""
    if app is None:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
    with app.test_request_context("/") as context:
        if user is not None:
            _log_in(app, user)
        request = context.request
        yield Request(
            "POST", {}, native=lambda: request, caller=current_caller, has_role=current_role
        )


def _log_in(app: Flask, user: str) -> None:
    manager = getattr(app, "login_manager", None)
    if manager is None:
        raise click.ClickException("--user needs Flask-Login")
    found = manager._user_callback(user)
    if found is None:
        raise click.ClickException(f"There is no user {user!r}")
    from flask_login import login_user

    login_user(found)
