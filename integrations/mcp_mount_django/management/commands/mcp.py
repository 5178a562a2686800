"""The commands `manage.py mcp list`, `call`, `check` and `stdio`, and those for signing in."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand

from mcp_mount.cli import console
from mcp_mount.cli.check import declare_trust
from mcp_mount.cli.checking.backplanes import ask_backplane, backplane_name
from mcp_mount.cli.commands import Screen, printable
from mcp_mount.cli.main import protected_output, serve_stdio
from mcp_mount.cli.sign_in_commands import COMMANDS
from mcp_mount_django.checks import INCOMPLETE, UNREACHED
from mcp_mount_django.patterns import mounted
from mcp_mount_django.probe import probe
from mcp_mount_django.servers import MCPServer, default_server, servers
from mcp_mount_django.terminal import Terminal


class Command(BaseCommand):
    """`manage.py mcp list|call|check|stdio|connections`."""

    help = "List, call, check and serve the MCP servers of this project."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the commands and their options."""
        commands = parser.add_subparsers(dest="command", required=True)
        whose = {"--user": "with the permissions of this user (username or primary key)"}
        which = {"--server": "the name of the server, if the project has several"}
        for name, text, options in (
            ("list", "list tools, resources and prompts", {**whose, **which}),
            ("call", "call a tool", {**whose, **which}),
            (
                "check",
                "check settings and URLs, send each server a request as a client would, and ask "
                "its backplane; with a URL, go the ways of clients to it, and say what stands in "
                "the way",
                {},
            ),
            ("stdio", "serve an assistant on this machine", {**whose, **which}),
        ):
            command = commands.add_parser(name, help=text)
            for option, meaning in options.items():
                command.add_argument(option, help=meaning)
            if name == "call":
                command.add_argument("name", help="the tool")
                command.add_argument("arguments", nargs="*", metavar="argument=value")
                command.add_argument("--json", default="{}", help="the arguments as an object")
                _take_late_arguments(command)
            if name == "check":
                command.add_argument("url", nargs="?", help="the URL of a server for clients")
                declare_trust(command)
                command.add_argument("--host", help="the Host header, by default an allowed one")
                command.add_argument(
                    "--deploy", action="store_true", help="run the deployment checks too"
                )

        for name, shared in COMMANDS.items():
            # Below the name of the check that is Django's.
            if name != "check":
                shared.declare(commands.add_parser(name, help=shared.help), _declare_server)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command that `options` name."""
        name = options["command"]
        if name == "check" and options["url"] is not None:
            self._run(name, _server_at(options["url"]), options)
        elif name in COMMANDS and name != "check":
            self._run(name, _signing_in(options["server"]), options)
        else:
            getattr(self, f"_{name}")(options)

    def _run(self, name: str, server: MCPServer | None, options: dict[str, Any]) -> None:
        """Run a command that all hosts have."""
        screen = Screen(self.stdout.write)
        try:
            status = COMMANDS[name].run(server, Namespace(**options), screen)
        except console.CommandError as error:
            raise CommandError(str(error)) from None
        if status:
            sys.exit(status)

    def _list(self, options: dict[str, Any]) -> None:
        try:
            for line in _console(options).list():
                self.stdout.write(line)
        except console.CommandError as error:
            raise CommandError(str(error)) from None
        # The list may be incomplete: exit with an error.
        if problems := _problems(INCOMPLETE):
            raise CommandError("\n".join(problems))

    def _call(self, options: dict[str, Any]) -> None:
        try:
            arguments = json.loads(options["json"])
        except ValueError as error:
            raise CommandError(f"--json: {error}") from None
        if not isinstance(arguments, dict):
            raise CommandError("--json must be an object")
        terminal = _console(options)
        try:
            outcome = terminal.call(options["name"], options["arguments"], arguments)
        except console.CommandError as error:
            raise CommandError(str(error)) from None
        if outcome.failed:
            raise CommandError(outcome.text)
        self.stdout.write(outcome.text)

    def _check(self, options: dict[str, Any]) -> None:
        # It prints warnings, and ends this command for errors.
        call_command("check", tags=["mcp"], deploy=options["deploy"], stderr=self.stderr)
        host = options["host"] or _a_host()
        answers = [self._ask(server, path, host) for path, server in mounted()]
        # All are asked, whatever one answers.
        usable = [self._ask_backplane(every) for every in _by_backplane()]
        if not all(answers):
            raise CommandError("A client would not get an answer.")
        if not all(usable):
            raise CommandError("A backplane cannot be used.")
        if unreached := _problems(UNREACHED):
            raise CommandError("\n".join(["A client would not reach all tools.", *unreached]))

    def _ask(self, server: MCPServer, path: str, host: str) -> bool:
        """Ask a server as a client does; whether it answers."""
        problem = probe(path, host)
        self.stdout.write(f"{server.title} at {path}: {problem or 'answers'}")
        return problem is None

    def _ask_backplane(self, every: list[MCPServer]) -> bool:
        """Ask the backplane of servers that share it; whether it can be used."""
        names = ", ".join(server.title for server in every)
        name = backplane_name(every[0])
        if name is None:
            self.stdout.write(f"{names}: no backplane, each process is on its own")
            return True
        findings = [*ask_backplane(every[0])]
        if not findings:
            self.stdout.write(printable(f"{names}: the backplane {name} answers"))
        for finding in findings:
            self.stdout.write(f"{names}:")
            for line in finding.lines():
                self.stdout.write(printable(line))
        return not findings

    def _stdio(self, options: dict[str, Any]) -> None:
        server, terminal = _terminal(options)
        try:
            caller = terminal.caller()
        except console.CommandError as error:
            raise CommandError(str(error)) from None
        # The user's permissions are looked up off the event loop.
        caller.may_block = True
        with protected_output() as sink:
            serve_stdio(server, sys.stdin.buffer, sink, lambda: nullcontext(caller))


def _problems(ids: Collection[str]) -> list[str]:
    """Return the errors of the checks, and those of their warnings that have one of these ids."""
    return [
        str(one)
        for one in run_checks(tags=["mcp"])
        if not one.is_silenced() and (one.is_serious() or one.id in ids)
    ]


def _take_late_arguments(command: ArgumentParser) -> None:
    """Accept arguments of a tool after options too, which argparse does not support."""
    parse = command.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        found, rest = parse(args, namespace)
        found.arguments += [word for word in rest if not word.startswith("-")]
        return found, [word for word in rest if word.startswith("-")]

    command.parse_known_args = parse_known_args  # type: ignore[method-assign]


def _server(options: dict[str, Any]) -> MCPServer:
    every = {server.title: server for server in (*servers, default_server())}
    name = options["server"]
    if name is not None:
        try:
            return every[name]
        except KeyError:
            known = ", ".join(sorted(every))
            raise CommandError(f"There is no server {name!r}, only {known}") from None
    filled = [server for server in every.values() if server.registry.tools]
    if len(filled) > 1:
        raise CommandError(f"Choose one with --server: {', '.join(sorted(every))}")
    return filled[0] if filled else default_server()


def _declare_server(parser: ArgumentParser) -> None:
    parser.add_argument("--server", help="the name of the server, if several have a SignIn")


def _signing_in(name: str | None) -> MCPServer:
    """Return the server with a `SignIn`, or the one of that name."""
    if name is not None:
        return _server({"server": name})
    found = _with_sign_in()
    if not found:
        raise CommandError("No server of this project has a SignIn.")
    # Their connections are in one table, whichever is taken.
    return found[0]


def _server_at(url: str) -> MCPServer | None:
    """The server that clients reach at a URL, as far as its path says."""
    places: dict[str, MCPServer] = dict(mounted())
    # A proxy may put something before the path.
    asked = url.partition("?")[0].rstrip("/")
    fitting = [path for path in places if asked.endswith(path.rstrip("/"))]
    if fitting:
        return places[max(fitting, key=len)]
    return next(iter(_with_sign_in()), None)


def _by_backplane() -> list[list[MCPServer]]:
    """The mounted servers; those that share a backplane together."""
    groups: dict[Any, list[MCPServer]] = {}
    for server in dict.fromkeys(server for _, server in mounted()):
        given = server.core.values["backplane"] if server.core.backplane is not None else None
        groups.setdefault(given if isinstance(given, str) else id(given), []).append(server)
    return list(groups.values())


def _with_sign_in() -> list[MCPServer]:
    every = dict.fromkeys((*(one for _, one in mounted()), *servers))
    return [one for one in every if one.core.sign_in is not None]


def _terminal(options: dict[str, Any]) -> tuple[MCPServer, Terminal]:
    server = _server(options)
    path = next((path for path, one in mounted() if one is server), None)
    return server, Terminal(server, _user(options["user"]), path=path, host=_a_host())


def _console(options: dict[str, Any]) -> console.Console:
    server, terminal = _terminal(options)
    return console.Console(server, respond=terminal.respond)


def _user(name: str | None) -> Any:
    if name is None:
        return None
    model: Any = get_user_model()
    manager = model._default_manager
    try:
        return manager.get_by_natural_key(name)
    except model.DoesNotExist:
        pass
    try:
        return manager.get(pk=name)
    except (model.DoesNotExist, ValueError, TypeError):
        raise CommandError(f"There is no user {name!r}") from None


def _a_host() -> str:
    """Return a host name that the project serves."""
    names: list[str] = [name for name in settings.ALLOWED_HOSTS if name != "*"]
    return names[0].lstrip(".") if names else "localhost"
