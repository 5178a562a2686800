"""Names that people look for in the wrong place, and where they are: for the errors that say so."""

from __future__ import annotations

from typing import Final, NoReturn

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
    "custom_route": "write @server.get(path), or include a router of FastAPI",
    "get_context": "write a parameter of the handler, ctx: Context",
    "import_server": "write server.include_router(tools), with a ToolsRouter",
    **dict.fromkeys(("_tool_manager", "list_tools", "get_tools"), "look at server.registry.tools"),
    **dict.fromkeys(("_lowlevel_server", "_mcp_server"), "look at server.protocol"),
    "init_app": "that is the extension's: MCPMount(app, '/mcp', server) of mcp_mount_flask",
    "expose": "write expose(api, server, tags=[...]), from mcp_mount_fastapi or mcp_mount_flask",
}
"""By the attributes that a server does not have."""

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
