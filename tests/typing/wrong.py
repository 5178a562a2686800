"""A user's program with a misspelt option in each line that says so; nothing here runs.

mypy leaves this file alone: `test_type_checkers` runs it over a copy, and pyright.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask

    import mcp_mount_django
    import mcp_mount_fastapi
    import mcp_mount_flask
    from mcp_mount import (
        CompletionsRouter,
        ImageRouter,
        MCPRouter,
        MCPServer,
        PrometheusRouter,
        ToolsRouter,
    )
    from mcp_mount_flask import MCPBlueprint, MCPMount

    def add(a: int, b: int) -> int:
        return a + b

    api = FastAPI()
    app = Flask(__name__)
    server = MCPServer("calculator")
    router = ToolsRouter()
    mcp = MCPMount(app, "/mcp")
    django = mcp_mount_django.MCPServer("shop")

    MCPServer("calculator", instruction="Add.")  # misspelt
    MCPServer("calculator", permision="staff")  # misspelt
    server.configure(page_sise=10)  # misspelt
    ToolsRouter(prefx="/x")  # misspelt
    MCPRouter(scope="admin")  # misspelt
    CompletionsRouter(trottle="10/minute")  # misspelt
    ImageRouter(prefx="/x")  # misspelt
    PrometheusRouter(tag=["metrics"])  # misspelt
    server.include_router(router, prefx="/x")  # misspelt
    server.tool(descripton="Add.")(add)  # misspelt
    server.tool("sum", time_out=3)(add)  # misspelt
    router.add_tool(add, permision="staff")  # misspelt
    server.pipeline("both", add, add, tittle="Both")  # misspelt
    server.resource("text://x", mime="text/plain")  # misspelt
    server.resource("text://x", check=add)  # misspelt
    server.prompt(discription="Ask.")  # misspelt
    server.page("ui://x", conect=["https://a.example"])  # misspelt
    server.add_page("ui://x", "<p>", boarder=True)  # misspelt
    server.add_prompt(add, role="clerk")  # misspelt
    MCPMount(app, "/mcp", scope="admin")  # misspelt
    MCPBlueprint("notes", __name__, permision="staff")  # misspelt
    mcp.expose(blueprint="orders")  # misspelt
    mcp_mount_flask.expose(app, mcp, operation="get_order")  # misspelt
    mcp_mount_fastapi.expose(api, server, tag="orders")  # misspelt
    mcp_mount_django.MCPServer("shop", login_requird=True)  # misspelt
    django.expose({}, tag="orders")  # misspelt
    django.add_view(add, metod="POST")  # misspelt
    django.add_template_page("ui://x", "x.html", boarder=True)  # misspelt
