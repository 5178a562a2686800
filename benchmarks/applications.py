"""The applications under measurement; web servers call these functions in processes of their own.

Each imports what it needs and no more, so that the memory and the start of its process are its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_mount import MCPServer

KEY = "a-secret-key-for-the-benchmarks-of-mcp-mount"


async def echo(text: str) -> str:
    """Return the text."""
    return text


def echo_plain(text: str) -> str:
    """Return the text, from a plain function."""
    return text


def fill(server: Any) -> Any:
    """Give a server the two small tools."""
    server.tool(echo)
    server.tool(echo_plain)
    return server


# Without mcp-mount.


def limit() -> Any:
    """What Python can do at most: an ASGI application that knows its one answer by heart."""
    from pydantic_core import from_json, to_json

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        part = await receive()
        body = part["body"]
        while part["more_body"]:
            part = await receive()
            body += part["body"]
        body = to_json(_known_answer(from_json(body)))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def _known_answer(message: Any) -> Any:
    text = message["params"]["arguments"]["text"]
    result = {
        "content": [{"type": "text", "text": text}],
        "structuredContent": {"result": text},
        "resultType": "complete",
    }
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def limit_wsgi() -> Any:
    """The same as a WSGI application: what the web server leaves."""
    from pydantic_core import from_json, to_json

    def application(environ: Any, start_response: Any) -> list[bytes]:
        message = from_json(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        body = to_json(_known_answer(message))
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    return application


def plain_fastapi() -> Any:
    """An endpoint as FastAPI's tutorial has it."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Message(BaseModel):
        text: str

    app = FastAPI()

    async def view(message: Message) -> Message:
        return message

    # The annotations are strings here, and the class is local.
    view.__annotations__ = {"message": Message, "return": Message}
    app.post("/echo")(view)
    return app


def plain_flask() -> Any:
    """A JSON view of an application with a secret key."""
    from flask import Flask, request

    app = Flask("benchmark")
    app.config["SECRET_KEY"] = KEY

    @app.post("/echo")
    def view() -> dict[str, str]:
        assert request.json is not None
        return {"text": request.json["text"]}

    return app


def plain_django() -> Any:
    from benchmarks import django_project

    django_project.configure()
    return django_project.wsgi()


def plain_django_asgi() -> Any:
    from benchmarks import django_project

    django_project.configure()
    return django_project.asgi()


# With mcp-mount.


def alone(**options: Any) -> MCPServer:
    from mcp_mount import MCPServer

    server = MCPServer("benchmark", secret_key=KEY, open=True, **options)
    fill(server)
    return server


def in_fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    mount(app, "/mcp", alone())
    return app


def in_starlette() -> Any:
    from starlette.applications import Starlette

    from mcp_mount_starlette import mount

    app = Starlette()
    mount(app, "/mcp", alone())
    return app


def in_flask() -> Any:
    from mcp_mount_flask import MCPMount

    app = plain_flask()
    app.config["MCP_OPEN"] = True
    fill(MCPMount(app, "/mcp"))
    return app


def frozen() -> Any:
    """What exists at the start is never looked at by the garbage collector again."""
    import gc

    server = alone()
    gc.collect()
    gc.freeze()
    return server


def before_flask() -> Any:
    from mcp_mount_flask import mount

    return mount(plain_flask(), "/mcp", alone())


def before_flask_asgi() -> Any:
    from mcp_mount_flask import mount_asgi

    return mount_asgi(plain_flask(), "/mcp", alone())


def in_django() -> Any:
    from benchmarks import django_project

    django_project.configure("mcp_mount_django")
    django_project.route(_django_server())
    return django_project.wsgi()


def in_django_asgi() -> Any:
    from benchmarks import django_project

    django_project.configure("mcp_mount_django")
    django_project.route(_django_server())
    return django_project.asgi()


def before_django() -> Any:
    from benchmarks import django_project

    django_project.configure("mcp_mount_django")
    from mcp_mount_django import mount

    return mount(django_project.wsgi(), "/mcp", _django_server())


def before_django_asgi() -> Any:
    from benchmarks import django_project

    django_project.configure("mcp_mount_django")
    from mcp_mount_django import mount

    return mount(django_project.asgi(), "/mcp", _django_server())


def _django_server() -> Any:
    from mcp_mount_django import MCPServer

    return fill(MCPServer("benchmark", secret_key=KEY, open=True))


# For different kinds of work.


def tools() -> MCPServer:
    """As many tools as the environment variable BENCH_TOOLS says, with two arguments each."""
    server = alone()

    def made(number: int) -> Any:
        async def tool(text: str, count: int = 1) -> str:
            return text * count

        tool.__name__ = f"tool_{number}"
        tool.__doc__ = f"Return the text as many times as it is wanted, by the tool {number}."
        return tool

    for number in range(int(os.environ["BENCH_TOOLS"]) - len(server.registry.tools)):
        server.tool(made(number))
    return server


def work() -> MCPServer:
    """One server for all other kinds of work."""
    from benchmarks.working import fill_work

    server = alone(max_body_bytes=8 * 1024 * 1024)
    fill_work(server)
    return server


def shared() -> MCPServer:
    """Connected by the backplane of the environment variable BENCH_BACKPLANE."""
    from benchmarks.sharing import fill_shared

    return fill_shared(alone(backplane=os.environ["BENCH_BACKPLANE"]))


def shared_flask() -> Any:
    """The same in Flask."""
    from benchmarks.sharing import fill_shared
    from mcp_mount_flask import MCPMount

    app = plain_flask()
    app.config.update(MCP_OPEN=True, MCP_BACKPLANE=os.environ["BENCH_BACKPLANE"])
    fill_shared(fill(MCPMount(app, "/mcp", name="benchmark")).server)
    return app
