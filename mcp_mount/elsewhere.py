"""Names of the official SDK, of FastMCP and of frameworks that are none here, and what to write in
their place: for the errors that say so (docs/porting.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn, TypeVar, get_args, get_origin

T = TypeVar("T")

LIBRARIES: Final = {"mcp": "the official SDK", "fastmcp": "FastMCP"}
"""The packages that have types of their own for what is here, too."""

OF_CONTEXTS: Final = {
    "fastmcp": "the server itself, by its own name",
    "mcp_server": "the server itself, by its own name",
    "client_id": "ctx.caller, or ctx.access_token.client_id",
    "session_id": "ctx.caller: sessions keep no state of yours, and 2026-07-28 has none",
    "get_state": "your own store, by ctx.caller: a server may have several processes",
    "set_state": "your own store, by ctx.caller: a server may have several processes",
    "close_sse_stream": "ctx.close_stream(retry=...)",
    "notify_tools_changed": "server.notify.tools_list_changed()",
    "notify_prompts_changed": "server.notify.prompts_list_changed()",
    "notify_resources_changed": "server.notify.resources_list_changed()",
    "notify_resource_updated": "server.notify.resource_updated(uri)",
    "send_notification": "server.notify",
    "input_responses": "await ctx.elicit(...), which has the answer when the handler runs again",
    "request_state": "await ctx.elicit(...), which has the answer when the handler runs again",
    "list_tools": "server.registry.tools",
}
"""Members of their contexts."""

OF_SESSIONS: Final = {
    "create_message": "ctx.sample(...)",
    "elicit": "ctx.elicit(...)",
    "elicit_form": "ctx.elicit(...)",
    "elicit_url": "ctx.elicit_url(...)",
    "list_roots": "ctx.list_roots()",
    "send_log_message": "ctx.log(level, data), ctx.info(data), ...",
    "send_progress_notification": "ctx.report_progress(progress, total, message)",
    "send_tool_list_changed": "server.notify.tools_list_changed()",
    "send_prompt_list_changed": "server.notify.prompts_list_changed()",
    "send_resource_list_changed": "server.notify.resources_list_changed()",
    "send_resource_updated": "server.notify.resource_updated(uri)",
    "client_params": "ctx.client_info and ctx.client_capabilities",
    "client_capabilities": "ctx.client_capabilities",
    "check_client_capability": "ctx.client_capabilities",
    "send_ping": "nothing: the transport looks after connections",
}
"""Members of the official SDK's `ctx.session`."""

_RUNNING: Final = (
    "a server is an ASGI application: run 'uvicorn module:server', or server.wsgi under a WSGI "
    "server, or server.run('streamable-http'); over stdio, server.run(), or "
    "'python -m mcp_mount stdio module:server'"
)
_ITSELF: Final = (
    "the server itself is the application: serve it, or mount(app, '/mcp', server) in another one"
)

OF_SERVERS: Final = {
    **dict.fromkeys(("run_async", "run_stdio_async", "run_http_async", "serve"), _RUNNING),
    **dict.fromkeys(("run_sse_async", "run_streamable_http_async"), _RUNNING),
    **dict.fromkeys(("streamable_http_app", "http_app", "sse_app", "asgi", "app"), _ITSELF),
    "session_manager": "there is none: no lifespan line is needed",
    "custom_route": (
        "write @server.get(path), with the parameter 'request: Request' annotated: it is a FastAPI "
        "application; or include a router"
    ),
    "get_context": "write a parameter of the handler, ctx: Context",
    "import_server": "write server.include_router(tools), with a ToolsRouter",
    **dict.fromkeys(
        ("_tool_manager", "list_tools", "get_tools", "get_tool", "tools"),
        "look at server.registry.tools",
    ),
    **dict.fromkeys(
        ("_prompt_manager", "list_prompts", "get_prompts", "prompts"),
        "look at server.registry.prompts",
    ),
    **dict.fromkeys(
        ("_resource_manager", "list_resources", "list_resource_templates", "get_resources"),
        "look at server.registry.resources",
    ),
    **dict.fromkeys(
        ("call_tool", "read_resource", "get_prompt"),
        "in a handler it is a method of ctx, in tests of mcp_mount.testing.Client",
    ),
    **dict.fromkeys(("add_resource", "add_template"), "write @server.resource(uri)"),
    **dict.fromkeys(("enable", "disable"), "write permission= on what not all are to see"),
    "settings": "options are arguments of MCPServer; server.core.values has them",
    "name": "it is server.title",
    **dict.fromkeys(("_lowlevel_server", "_mcp_server"), "look at server.core.protocol"),
    "init_app": "that is the extension's: MCPMount(app, '/mcp', server) of mcp_mount_flask",
    "expose": "write expose(api, server, tags=[...]), from mcp_mount_fastapi or mcp_mount_flask",
}
"""By the attributes that a server does not have."""

OF_SERVER_CLASS: Final = {
    **dict.fromkeys(
        ("as_proxy", "from_client"),
        "there are no proxies: let a tool call the other server by a client of the official SDK",
    ),
    "from_fastapi": "write expose(api, server), from mcp_mount_fastapi",
    "from_openapi": "write expose_document(server, ...), from mcp_mount.openapi",
}
"""By the class methods that a server does not have."""

OTHER_SERVER: Final = (
    "mount takes a path and an application: mount('/files', app). The tools of another server are "
    "included: server.include_router(tools), with a ToolsRouter"
)
"""Of what FastMCP's `mount` takes."""

_OLD_HTTP: Final = "leave it out: the old HTTP+SSE transport is not served"
_TAKEN: Final = "leave it out: a name that is taken is refused"
_SHOWN: Final = "write permission=, scopes= or roles= on what not all are to see"
_LEVEL: Final = "set the level of the logger 'mcp_mount'"

_LOGIN: Final = (
    "it is an option of the MCPServer of mcp_mount_django; elsewhere write auth= (access tokens, "
    "API keys), or permission= with a function of the request: in Flask permission=lambda request: "
    "current_user.is_authenticated"
)
_RATE: Final = 'write throttle="10/minute"'
_CORS: Final = (
    "write allowed_origins=[...], and add the CORS middleware of your framework: no headers for "
    "pages of other origins are sent here"
)

_OF_HTTP: Final = {
    "json_response": "leave it out: a reply is JSON, and a stream only if its handler speaks",
    **dict.fromkeys(
        ("stateless_http", "stateless"),
        "leave it out: sessions need no table; for several workers write MCPServer(secret_key=...)",
    ),
    **dict.fromkeys(
        ("event_store", "retry_interval"), "leave it out: streams are resumed by themselves"
    ),
    **dict.fromkeys(("sse_path", "message_path", "mount_path"), _OLD_HTTP),
    "transport_security": "write MCPServer(allowed_hosts=[...], allowed_origins=[...])",
    "log_level": _LEVEL,
}

OF_SERVER_OPTIONS: Final = {
    **_OF_HTTP,
    **dict.fromkeys(
        ("host", "port"),
        "give it to the web server, or to server.run('streamable-http', host=..., port=...)",
    ),
    "streamable_http_path": "write path=, or mount(app, path, server)",
    "title": "write display_name=",
    "token_verifier": "write auth=TokenVerifier(function), from mcp_mount.auth",
    "auth_server_provider": "write auth=JWT(issuer), from mcp_mount.auth: it verifies tokens only",
    "mask_error_details": (
        "leave it out: the model sees the words of a ToolError or an HTTPException, and no others"
    ),
    "strict_input_validation": "leave it out: arguments are always validated",
    **dict.fromkeys(
        (
            *("on_duplicate", "on_duplicate_tools", "on_duplicate_resources"),
            *("on_duplicate_prompts", "warn_on_duplicate_tools", "warn_on_duplicate_resources"),
            "warn_on_duplicate_prompts",
        ),
        _TAKEN,
    ),
    "tools": "write server.add_tool(function) for each, or server.include_router(tools)",
    "resources": "write @server.resource(uri) for each",
    "tasks": "write task=True on the tools",
    "tool_serializer": "let tools return texts, or mcp_types.CallToolResult",
    **dict.fromkeys(("include_tags", "exclude_tags", "tags"), _SHOWN),
    "cache_hints": "write list_ttl_ms=, or ttl_ms= on a resource",
    "request_state_security": "write secret_key=",
    "session_state_store": "write to your own store, by ctx.caller",
    **dict.fromkeys(("login_required", "authentication"), _LOGIN),
    **dict.fromkeys(("rate_limit", "rate_limits", "ratelimit", "limiter"), _RATE),
    **dict.fromkeys(("cors", "cors_origins", "allow_origins"), _CORS),
}
"""By the options that a server does not have."""

OF_FLASK_KEYS: Final = {
    **OF_SERVER_OPTIONS,
    "path": "it is an argument: MCPMount(app, '/mcp')",
    "mount": "it is the name of Django's setting; Flask has a key for each option: MCP_NAME, ...",
    "login_required": (
        "it is a key of Django's; in Flask write MCP_PERMISSION with a function of the request, "
        "such as lambda request: current_user.is_authenticated, or MCP_AUTH (access tokens, API "
        "keys)"
    ),
    "authentication": (
        "it is a key of Django's; in Flask the user is Flask-Login's, and MCP_AUTH verifies access "
        "tokens and API keys"
    ),
}
"""By the keys that Flask's configuration does not have, without their prefix, in lower case."""

OF_RUN_OPTIONS: Final = {
    **_OF_HTTP,
    **dict.fromkeys(("path", "streamable_http_path"), "write MCPServer(path=...)"),
    "middleware": "write server.add_middleware(...)",
    "show_banner": "leave it out: there is none",
    **dict.fromkeys(
        ("uvicorn_config", "reload", "workers"), "run 'uvicorn module:server', with its options"
    ),
}
"""By the options that `MCPServer.run` does not have."""

OF_ENTRY_OPTIONS: Final = {
    "structured_output": (
        "write output_schema=False for no schema; otherwise the return annotation gives it"
    ),
    "tags": f"there are none: {_SHOWN}",
    "enabled": f"{_SHOWN}, or take it away: server.remove_tool(name)",
    "auth": "write scopes=, roles= or permission=",
    "exclude_args": (
        "what the model is not to fill in comes from 'request: Request', ctx or a Depends()"
    ),
    "serializer": "return a text, or mcp_types.CallToolResult",
    "version": "there is none: let the name say it",
    "mimeType": "write mime_type=",
    "run_in_thread": "leave it out: a 'def' runs on a thread, an 'async def' on the loop",
    "execution": "write task=True",
    "login_required": "write permission= with a function of the request, scopes= or roles=",
    **dict.fromkeys(("rate_limit", "rate_limits", "ratelimit", "limiter"), _RATE),
    **{
        name: f'write annotations={{"{hint}": ...}}'
        for hint, names in {
            "readOnlyHint": ("read_only_hint", "read_only", "readonly"),
            "destructiveHint": ("destructive_hint", "destructive"),
            "idempotentHint": ("idempotent_hint", "idempotent"),
            "openWorldHint": ("open_world_hint", "open_world"),
        }.items()
        for name in (hint, *names)
    },
}
"""By the options that a tool, a resource or a prompt does not have."""

OF_VALUES: Final = {
    **{name: f"'from mcp_mount import {name}'" for name in ("Image", "Audio", "File")},
    "ToolResult": "'from mcp_types import CallToolResult'",
    **{name: f"'from mcp_mount import {name}'" for name in ("Message", "UserMessage")},
    "AssistantMessage": "'from mcp_mount import AssistantMessage'",
}
"""By the types of other libraries that handlers return."""

_INTEGRATIONS: Final = (
    "it is that of your framework: mcp_mount_fastapi, mcp_mount_starlette, mcp_mount_flask or "
    "mcp_mount_django"
)

OF_PACKAGE: Final = {
    "mount": f"{_INTEGRATIONS}; mount_asgi and mount_wsgi of mcp_mount take any application",
    "expose": _INTEGRATIONS,
    "as_tool": _INTEGRATIONS,
    "MCPMount": "it is that of mcp_mount_flask, or mcp_mount_starlette",
    **dict.fromkeys(("McpError", "ErrorData"), "write MCPError(code, message, data)"),
    "NotFoundError": "write ResourceNotFoundError",
    "PromptError": "write ToolError, which a prompt may raise as well",
    "ToolResult": "write mcp_types.CallToolResult",
    **dict.fromkeys(("CurrentContext", "get_context"), "write a parameter ctx: Context"),
    "types": "its names are in the package mcp_types",
    "server": "write 'from mcp_mount import MCPServer'",
    "prompts": "write 'from mcp_mount import UserMessage, AssistantMessage'",
    **dict.fromkeys(
        (
            *("TextContent", "ImageContent", "AudioContent", "EmbeddedResource", "ResourceLink"),
            *("CallToolResult", "PromptMessage", "SamplingMessage", "ToolAnnotations", "Icon"),
        ),
        "it is in the package mcp_types",
    ),
    **dict.fromkeys(("FastMCP", "Server", "MCP"), "write 'from mcp_mount import MCPServer'"),
    **dict.fromkeys(("Client", "AsyncClient"), "those for tests are in mcp_mount.testing"),
    **dict.fromkeys(
        ("APIKey", "APIKeys", "JWT", "Introspection", "TokenVerifier"), "it is in mcp_mount.auth"
    ),
    **dict.fromkeys(("Depends", "Header", "Cookie"), "it is FastAPI's: 'from fastapi import ...'"),
    "Request": "it is your framework's, such as 'from starlette.requests import Request'",
}
"""By the names that the package does not have."""


def refuse_import(name: str) -> NoReturn:
    """Say what to import in place of a name that `mcp_mount` does not have.

    Raises:
        ImportError: Where something else is meant.
        AttributeError: Where nothing is known.
    """
    if name in OF_PACKAGE:
        # Of an AttributeError the import statement would drop the words.
        raise ImportError(f"mcp_mount has no {name!r}: {OF_PACKAGE[name]}", name="mcp_mount")
    raise AttributeError(f"module 'mcp_mount' has no attribute {name!r}")


def lacking(hints: Mapping[str, str]) -> Callable[[type[T]], type[T]]:
    """A decorator of a class: what to write in place of the class methods that it does not have.

    They are looked for on the class, of which its `__getattr__` hears nothing. A metaclass would
    hear of it, but classes with another one could not inherit from it beside their own bases.

    Args:
        hints: By the names of the class methods.
    """

    def decorate(kind: type[T]) -> type[T]:
        for name, hint in hints.items():
            setattr(kind, name, _Elsewhere(name, hint))
        return kind

    return decorate


class _Elsewhere:
    """An attribute that a class does not have, and what to write in its place."""

    def __init__(self, name: str, hint: str) -> None:
        self._name = name
        self._hint = hint

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise AttributeError(
            f"type object {owner.__name__!r} has no attribute {self._name!r}: {self._hint}"
        )


def types_of_others(annotation: Any) -> Iterator[tuple[str, str]]:
    """The types of other MCP libraries in an annotation: their names, and their library's.

    By name: none of them needs to be installed, and nothing is imported to look.
    """
    for part in (annotation, get_origin(annotation)):
        for kind in getattr(part, "__mro__", ()):
            package, dot, _ = str(kind.__module__).partition(".")
            # All of their types are in submodules: the module "mcp" itself is a user's own mcp.py.
            if dot and package in LIBRARIES:
                yield kind.__name__.partition("[")[0], LIBRARIES[package]
    for argument in get_args(annotation):
        yield from types_of_others(argument)


def value_here(annotation: Any) -> str | None:
    """What to return in place of another library's type.

    Args:
        annotation: What a function returns.

    Returns:
        The end of a sentence; None if there is no such type in it.
    """
    for name, library in types_of_others(annotation):
        if name in OF_VALUES:
            return f"returns the {name} of {library}; write {OF_VALUES[name]}"
    return None


def refuse_import_from(module: str, name: str, exported: list[str]) -> NoReturn:
    """Say that a name is one of `mcp_mount` itself, not of a module in it.

    Raises:
        ImportError: For one of `mcp_mount`; an import statement would drop the words of an
            AttributeError.
        AttributeError: For any other.
    """
    if name in exported:
        raise ImportError(
            f"cannot import name {name!r} from {module!r}: write 'from mcp_mount import {name}'"
        )
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
