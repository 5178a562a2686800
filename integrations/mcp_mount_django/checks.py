"""System checks for common mistakes."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_permission_codename
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

import mcp_mount
from mcp_mount.hosting.namesakes import problem_of, shares
from mcp_mount.hosting.openness import open_models, open_tools
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.resource_metadata import WELL_KNOWN
from mcp_mount.wire.rules import HasPermission
from mcp_mount_django.calls import WITHOUT_CONTEXT
from mcp_mount_django.options import imported, misplaced, unknown
from mcp_mount_django.patterns import mounted
from mcp_mount_django.queues import DjangoTasks
from mcp_mount_django.servers import MCPServer, servers
from mcp_mount_django.signing_in_checks import check_signing_in
from mcp_mount_django.well_known import serves_metadata
from mcp_mount_django.wrapping import unguarded

INCOMPLETE: Final = ("mcp_mount.W010", "mcp_mount.W011")
"""The ids of warnings about tools that no server of the project has."""

UNREACHED: Final = ("mcp_mount.W001", *INCOMPLETE)
"""The ids of warnings about tools that no client reaches."""

_SYNC_QUERIES: Final = frozenset(
    [
        *("aggregate", "bulk_create", "bulk_update", "count", "create", "delete", "earliest"),
        *("exists", "first", "get", "get_or_create", "in_bulk", "last", "latest", "update"),
        "update_or_create",
    ]
)
"""Methods of managers and querysets that run a query at once. Each has an async variant, `a…`."""


@register("mcp", Tags.compatibility)
def check_servers(app_configs: Any = None, **options: Any) -> list[CheckMessage]:
    """Check settings, URLs, and coroutine handlers that would block on the ORM."""
    problems: list[CheckMessage] = [
        *(Error(problem, id="mcp_mount.E001") for problem in unknown()),
        *_check_settings(),
        *_check_paths(),
        *_check_modules(),
    ]
    routes = dict(mounted())
    for server in sorted(servers, key=lambda one: one.title):
        problems += _check_routes(server, [path for path, one in routes.items() if one is server])
        problems += _check_coroutines(server)
        problems += _check_tasks(server)
        problems += _check_permissions(server)
        problems += _check_models(server)
    problems += check_signing_in(routes)
    problems += _check_names(routes)
    return problems


@register("mcp", Tags.security)
def check_guards(app_configs: Any = None, **options: Any) -> list[CheckMessage]:
    """Check for servers with tools that may write, or models that spend a key, for anybody."""
    problems: list[CheckMessage] = []
    for server in sorted(servers, key=lambda one: one.title):
        resource = server.core.resource_server
        is_guarded = (
            server.core.is_meant_open
            or server.authentication.login_required
            or bool(server.core.protocol.settings.rules)
            or (resource is not None and resource.required)
        )
        tools = [] if is_guarded else open_tools(server.registry)
        if tools:
            problems.append(
                Warning(
                    f"Anybody who reaches the server {server.title!r} may call {len(tools)} of its "
                    f"tools that may write: {', '.join(tools[:5])}{', …' if tools[5:] else ''}.",
                    hint="Set LOGIN_REQUIRED or PERMISSION in MCP_MOUNT, or permission= on tools; "
                    "mark tools that only read (readOnlyHint); set OPEN if public access is "
                    "intended.",
                    id="mcp_mount.W004",
                )
            )
        models = [] if is_guarded else open_models(server.registry)
        if models:
            problems.append(
                Warning(
                    f"Anybody who reaches the server {server.title!r} may ask {len(models)} of its "
                    "models with your key for the upstream: "
                    f"{', '.join(models[:5])}{', …' if models[5:] else ''}.",
                    hint="Set LOGIN_REQUIRED or PERMISSION in MCP_MOUNT, or permission= on models; "
                    "set OPEN if public access is intended.",
                    id="mcp_mount.W004",
                )
            )
    return problems


@register("mcp", Tags.security, deploy=True)
def check_deployment(app_configs: Any = None, **options: Any) -> list[CheckMessage]:
    """Check what a deployed server needs: host names, a secret key, a single process."""
    problems: list[CheckMessage] = []
    for server in sorted(servers, key=lambda one: one.title):
        if not server.registry.tools:
            continue
        resource = server.core.resource_server
        if resource is not None and resource.needs_url and "*" in settings.ALLOWED_HOSTS:
            problems.append(
                Error(
                    f"No access token can be issued for the server {server.title!r}: any host name "
                    "is allowed, so its URL is unknown.",
                    hint="Set RESOURCE in MCP_MOUNT, or name the hosts in ALLOWED_HOSTS.",
                    id="mcp_mount.E008",
                )
            )
        if not any(server.core.secret_keys()):
            problems.append(
                Error(
                    f"The server {server.title!r} has no secret key, so no other worker can "
                    "serve its sessions.",
                    hint="Set SECRET_KEY.",
                    id="mcp_mount.E005",
                )
            )
        kept = [tool.name for tool in server.registry.tools.values() if _needs_one_process(tool)]
        if kept and not shares(server.core.values):
            problems.append(
                Info(
                    "Tasks, and answers of 2025 clients to questions, need a single process; the "
                    f"server {server.title!r} has tools that use them: {', '.join(kept[:5])}.",
                    hint="Set BACKPLANE, run one worker process with threads, or route each client "
                    "to one worker.",
                    id="mcp_mount.I006",
                )
            )
    return problems


def _check_names(routes: Mapping[str, MCPServer]) -> Iterator[CheckMessage]:
    """Check for servers that cannot be told from one another where processes meet."""
    found = sorted(set(routes.values()), key=lambda one: one.title)
    for one, other in combinations(found, 2):
        problem = problem_of(one.core.values, other.core.values)
        if problem is not None:
            yield Error(f"In the URLs {problem}.", id="mcp_mount.E023")


def _check_settings() -> Iterator[CheckMessage]:
    """Check for settings that are written as in Flask, which nothing reads."""
    for name in misplaced():
        yield Warning(
            f"The setting {name} is not read.",
            hint=f"Write MCP_MOUNT = {{{name.removeprefix('MCP_')!r}: …}}; if the setting is for "
            "something else, silence this check.",
            id="mcp_mount.W015",
        )


def _check_paths() -> Iterator[CheckMessage]:
    """Check that the dotted paths in AUTHENTICATION can be imported."""
    given = getattr(settings, "MCP_MOUNT", {})
    paths = given.get("AUTHENTICATION") if isinstance(given, Mapping) else None
    for path in (paths,) if isinstance(paths, str) or callable(paths) else paths or ():
        if isinstance(path, str):
            try:
                imported("MCP_MOUNT['AUTHENTICATION']", path)
            except ImproperlyConfigured as error:
                yield Error(str(error), id="mcp_mount.E009")
    for server in sorted(servers, key=lambda one: one.title):
        try:
            server.authentication.load()
        except ImproperlyConfigured as error:
            yield Error(f"The server {server.title!r}: {error}", id="mcp_mount.E009")


def _check_modules() -> Iterator[CheckMessage]:
    """Check for `mcp.py` modules that are never imported, or that use `mcp_mount.MCPServer`."""
    installed = {Path(config.path).resolve() for config in apps.get_app_configs()}
    for stray in _stray_modules(installed):
        yield Warning(
            f"{stray} is never imported: its folder is not an app in INSTALLED_APPS.",
            hint=f"Add {stray.parent.name!r} to INSTALLED_APPS.",
            id="mcp_mount.W010",
        )
    for config in apps.get_app_configs():
        module = sys.modules.get(f"{config.name}.mcp")
        for name, value in () if module is None else vars(module).items():
            if isinstance(value, mcp_mount.MCPServer) and not isinstance(value, MCPServer):
                yield Warning(
                    f"{config.name}.mcp.{name} is a server of mcp_mount, which does not use "
                    "this project's users, permissions, settings or transactions.",
                    hint="from mcp_mount_django import MCPServer",
                    id="mcp_mount.W011",
                )


def _stray_modules(installed: Collection[Path]) -> Iterator[Path]:
    """Yield the `mcp.py` files of the project that use this package but belong to no
    installed app.
    """
    folders = set()
    if base := getattr(settings, "BASE_DIR", None):
        folders.add(Path(base).resolve())
    urls = sys.modules.get(getattr(settings, "ROOT_URLCONF", None) or "")
    if file := getattr(urls, "__file__", None):
        folders.add(Path(file).resolve().parent.parent)
    for folder in sorted(folders):
        for module in sorted(folder.glob("*/mcp.py")):
            if module.parent not in installed and "mcp_mount_django" in module.read_text(
                encoding="utf-8", errors="replace"
            ):
                yield module


def _check_routes(server: MCPServer, paths: Sequence[str]) -> Iterator[CheckMessage]:
    if not paths and len(server.registry.tools):
        beside = [*_check_beside(server)]
        yield from beside
        if beside or server.is_beside:
            return
        yield Warning(
            f"The server {server.title!r} has tools, but no URL.",
            hint='Add path("mcp", include(server.urls)) to the URLs; if the server is in front of '
            "the project (mount in wsgi.py or asgi.py), silence this check.",
            id="mcp_mount.W001",
        )
    for path in paths:
        if path.endswith("/"):
            yield Warning(
                f"The server {server.title!r} is at {path!r}: clients that omit the slash, and "
                "routes below it, do not reach it.",
                hint=f"Write the prefix without the slash: {path.strip('/')!r}.",
                id="mcp_mount.W002",
            )
        if server.core.resource_server is not None and not serves_metadata(path):
            yield Warning(
                f"The metadata of the server {server.title!r} are not at "
                f"{WELL_KNOWN}{path}: clients that look there first do not find them.",
                hint='Add path("", include("mcp_mount_django.well_known")) to the URLs.',
                id="mcp_mount.W007",
            )


def _check_tasks(server: MCPServer) -> Iterator[CheckMessage]:
    tasks = [tool.name for tool in server.registry.tools.values() if tool.task is not None]
    if tasks and server.task_context is None:
        yield Error(
            f"Tasks of the server {server.title!r} are refused, because they would run without "
            f"their request: {', '.join(tasks[:5])}.",
            hint=WITHOUT_CONTEXT[0].upper() + WITHOUT_CONTEXT[1:] + ".",
            id="mcp_mount.E012",
        )
    if tasks and (missing := server.core.missing_for_tasks()) is not None:
        yield Error(
            f"Tasks of the server {server.title!r} are refused: tasks= (TASKS) needs {missing}.",
            hint="BACKPLANE in MCP_MOUNT is such as redis://localhost:6379/0; without it, servers "
            "use the Redis of CACHES. Tasks are sealed with SECRET_KEY.",
            id="mcp_mount.E025",
        )
    queue = server.core.values["tasks"]
    if tasks and isinstance(queue, DjangoTasks):
        try:
            queue.check()
        except Exception as error:
            # The framework has exceptions of its own.
            yield Error(
                f"Tasks of the server {server.title!r} are refused: {error}.",
                hint="The setting TASKS of Django's tasks framework says which backend has "
                "workers.",
                id="mcp_mount.E024",
            )


def _check_models(server: MCPServer) -> Iterator[CheckMessage]:
    """Check for what models name and nobody has registered, and for budgets without a price: the
    server would not start."""
    try:
        server.core.check_declared()
    except DefinitionError as error:
        yield Error(f"The server {server.title!r} cannot start: {error}.", id="mcp_mount.E016")


def _check_permissions(server: MCPServer) -> Iterator[CheckMessage]:
    """Check for permission names that no model has: nobody has such a permission, so nobody may
    call.
    """
    known = {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        for codename in (
            *(get_permission_codename(one, model._meta) for one in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        )
    }
    for name, where in _named_permissions(server):
        if name in known:
            continue
        near = get_close_matches(name, known, n=1, cutoff=0.8)
        if not near and not _are_permissions_of_models():
            # Another backend may know it.
            continue
        yield Warning(
            f"permission={name!r} of {where}: no model of the project has such a permission, so "
            "only superusers have it.",
            hint=f"Did you mean {near[0]!r}?"
            if near
            else 'A name is the label of the app, a dot and a codename: "shop.view_order".',
            id="mcp_mount.W014",
        )


def _named_permissions(server: MCPServer) -> Iterator[tuple[str, str]]:
    """Yield the permissions that a server requires by name, and where."""
    registry = server.registry
    entries: list[tuple[str, Sequence[Any]]] = [
        (f"the server {server.title!r}", server.core.protocol.settings.rules),
        *((f"the tool {one.name!r}", one.rules) for one in registry.tools.values()),
        *((f"the resource {name!r}", one.rules) for name, one in registry.resources.items()),
        *((f"the prompt {name!r}", one.rules) for name, one in registry.prompts.items()),
    ]
    for where, rules in entries:
        for rule in rules:
            if isinstance(rule, HasPermission):
                yield rule.name, where


def _are_permissions_of_models() -> bool:
    """Whether only Django's own backends decide who has a permission."""
    return all(path.startswith("django.contrib.auth.") for path in settings.AUTHENTICATION_BACKENDS)


def _check_beside(server: MCPServer) -> Iterator[CheckMessage]:
    """Import the project's application, which may mount a server that has no URL."""
    for name in ("WSGI_APPLICATION", "ASGI_APPLICATION"):
        path = getattr(settings, name, None)
        if path is None:
            continue
        try:
            import_string(path)
        except ImproperlyConfigured as error:
            yield Error(str(error), id="mcp_mount.E013")
        except ImportError:
            # Django reports this when it starts.
            continue
    if server.is_beside and (problem := unguarded(server)) is not None:
        yield Error(problem, id="mcp_mount.E013")


def _check_coroutines(server: MCPServer) -> Iterator[CheckMessage]:
    registry = server.registry
    entries: tuple[Any, ...] = (
        *registry.tools.values(),
        *registry.resources.values(),
        *registry.prompts.values(),
    )
    for entry in entries:
        if entry.is_async and (query := _sync_query(entry.function)) is not None:
            yield Warning(
                f"The coroutine {entry.function.__qualname__!r} runs the query {query!r}, which "
                "raises SynchronousOnlyOperation.",
                hint="Await its async variant (aget, acount, …), or write the handler with 'def'.",
                obj=f"{entry.function.__module__}.{entry.function.__qualname__}",
                id="mcp_mount.W003",
            )


def _sync_query(function: Callable[..., Any]) -> str | None:
    """Return the first query that a coroutine would run synchronously, as in its source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return None
    [definition] = tree.body[:1]
    if not isinstance(definition, ast.AsyncFunctionDef):
        return None
    for node in _own_nodes(definition):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _SYNC_QUERIES
            and _is_of_manager(node.func.value)
        ):
            return ast.unparse(node)
        if isinstance(node, ast.For | ast.comprehension) and _is_of_manager(node.iter):
            is_async = isinstance(node, ast.comprehension) and node.is_async
            if not is_async:
                return f"for … in {ast.unparse(node.iter)}"
    return None


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes below one, except those of nested functions, which run elsewhere."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from _own_nodes(child)


def _is_of_manager(node: ast.AST) -> bool:
    """Whether an expression begins with a manager, such as `Model.objects.filter(…)`."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr in ("objects", "_default_manager"):
            return True
        node = node.func if isinstance(node, ast.Call) else node.value
    return False


def _needs_one_process(tool: Any) -> bool:
    return tool.task is not None or tool.arguments.context is not None
