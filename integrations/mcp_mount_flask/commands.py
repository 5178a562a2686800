"""The commands `flask mcp list`, `call` and `stdio`, and those for signing in."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from mcp_mount.backends.tasks.contexts import context_without
from mcp_mount.cli import console
from mcp_mount.cli.commands import Screen
from mcp_mount.cli.main import protected_output, serve_stdio
from mcp_mount.cli.sign_in_commands import COMMANDS, parsed
from mcp_mount_flask.mounts import unmatched
from mcp_mount_flask.terminal import request_of

group = AppGroup("mcp", help="List, call and serve the MCP servers of this application.")

_path = click.option("--path", help="The path of the server, if there are several.")
_user = click.option("--user", help="With the permissions of this user (Flask-Login's id).")


def add_commands(app: Flask) -> None:
    """Add the command group to an application, once."""
    if "mcp" not in app.cli.commands:
        app.cli.add_command(group)


@group.command("list")
@_path
@_user
def list_entries(path: str | None, user: str | None) -> None:
    """List tools, resources and prompts."""
    mount = _mount(path)
    try:
        with request_of(_app(), mount.path, user) as caller:
            for line in console.Console(mount.server, caller).list():
                click.echo(line)
    except console.CommandError as error:
        raise click.ClickException(str(error)) from None
    if problems := unmatched(_app()):
        # The list may be incomplete: exit with an error.
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
    mount = _mount(path)
    try:
        with request_of(_app(), mount.path, user) as caller:
            outcome = console.Console(mount.server, caller).call(name, arguments, values)
    except console.CommandError as error:
        raise click.ClickException(str(error)) from None
    if outcome.failed:
        raise click.ClickException(outcome.text)
    click.echo(outcome.text)


@group.command("stdio")
@_path
@_user
def stdio(path: str | None, user: str | None) -> None:
    """Serve an assistant on this machine over standard input and output."""
    app, mount = _app(), _mount(path)
    try:
        with request_of(app, mount.path, user):
            # Before the first message, so that a missing or refused user is reported at once.
            pass
    except console.CommandError as error:
        raise click.ClickException(str(error)) from None
    # Outside of the command's context, which Flask would otherwise use for every message.
    context_without("flask.").run(_serve, app, mount, user)


def _add(name: str) -> None:
    """Add a command for signing in. It reads its arguments itself, as on every host."""

    @group.command(
        name,
        short_help=f"{COMMANDS[name].help[:1].upper()}{COMMANDS[name].help[1:]}.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def run(words: tuple[str, ...]) -> None:
        options = parsed("flask mcp", name, words, _declare_path)
        try:
            status = COMMANDS[name].run(_mount(options.path).server, options, Screen(click.echo))
        except console.CommandError as error:
            raise click.ClickException(str(error)) from None
        click.get_current_context().exit(status)


def _declare_path(parser: ArgumentParser) -> None:
    parser.add_argument("--path", help="the path of the server, if there are several")


for _name in COMMANDS:
    _add(_name)


def _serve(app: Flask, mount: Any, user: str | None) -> None:
    with protected_output() as sink:
        around = partial(request_of, app, mount.path, user)
        serve_stdio(mount.server, sys.stdin.buffer, sink, around)


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def _mount(path: str | None) -> Any:
    mounts: dict[str, Any] = current_app.extensions["mcp_mount"]
    if path is None:
        if len(mounts) > 1:
            raise click.ClickException(f"Choose one with --path: {', '.join(sorted(mounts))}")
        path = next(iter(mounts))
    try:
        return mounts[path.rstrip("/")]
    except KeyError:
        known = ", ".join(sorted(mounts))
        raise click.ClickException(f"There is no server at {path!r}, only at {known}") from None
