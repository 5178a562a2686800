"""The same server with a `SignIn` alone and in each host, for real web servers.

STORE is an SQLite file for connections; Django has its own database, DATABASE. KNOWN is how long a
process takes a connection for good without asking, in seconds. ISSUER is the issuer. SECRET_KEYS
are the secret keys, the newest first, with blanks between. RESOURCE is the URL of the MCP endpoint.
"""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from typing import Any

from mcp_mount import MCPServer, SyncContext, ToolsRouter
from mcp_mount.auth import SignIn
from mcp_mount.auth.authorization import issued_tokens

issued_tokens.KNOWN_SECONDS = float(os.environ.get("KNOWN", "10"))  # type: ignore[misc]

KEY, *OLDER_KEYS = os.environ.get(
    "SECRET_KEYS", "for-tests-only-for-tests-only-for-tests-only"
).split()
SCOPES = {"orders:read": "See your orders", "orders:write": "Change your orders"}
HERE: dict[str, Any] = {"resource": os.environ["RESOURCE"]} if "RESOURCE" in os.environ else {}
OPTIONS: dict[str, Any] = {"secret_key": [KEY, *OLDER_KEYS], "scopes": "orders:read", **HERE}
LOGIN = """<h1>Log in</h1><form method=post><input name=username><input name=password></form>"""


AUTH = SignIn(scopes=SCOPES)
"""Of all servers of the Django project."""


def signing_in(**options: Any) -> SignIn:
    path = os.environ.get("STORE")
    if path is not None:
        options["store"] = partial(sqlite3.connect, path)
    if "ISSUER" in os.environ:
        options["issuer"] = os.environ["ISSUER"]
    return SignIn(scopes=SCOPES, **options)


def register(server: Any) -> None:
    @server.tool
    def whoami(ctx: SyncContext) -> str:
        """Tell who calls."""
        token = ctx.access_token
        assert token is not None
        return f"{ctx.caller}: {' '.join(sorted(token.scopes))}"

    @server.tool(scopes="orders:write")
    def cancel_order(ctx: SyncContext, number: int) -> str:
        """Cancel an order."""
        return f"{ctx.caller} cancelled {number}"


def server_of(name: str = "orders", **options: Any) -> MCPServer:
    tools = ToolsRouter()
    register(tools)
    server = MCPServer(name, auth=signing_in(**options), **OPTIONS)
    server.include_router(tools)
    return server


def of_cookie(request: Any) -> str | None:
    user: str | None = request.cookies.get("user")
    return user


async def of_cookie_later(request: Any) -> str | None:
    return of_cookie(request)


async def log_in(request: Any) -> Any:
    """The login page of the applications that Starlette serves."""
    from starlette.responses import HTMLResponse, RedirectResponse

    if request.method == "GET":
        return HTMLResponse(LOGIN)
    answer = RedirectResponse(request.query_params["next"], 303)
    answer.set_cookie("user", (await request.form())["username"], samesite="lax")
    return answer


def alone() -> MCPServer:
    server = server_of(user=of_cookie, login="/login")
    server.add_route("/login", log_in, methods=["GET", "POST"])
    return server


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from mcp_mount_starlette import mount

    async def page(request: Any) -> Any:
        return PlainTextResponse("a page")

    app = Starlette(
        routes=[
            Route("/login", log_in, methods=["GET", "POST"]),
            Route("/{rest:path}", page, methods=["GET", "POST"]),
        ]
    )
    return mount(app, "/api/mcp", server_of(user=of_cookie_later, login="/login"))


def authenticated() -> Any:
    """Users of AuthenticationMiddleware, which SignIn finds."""
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.routing import Route

    from mcp_mount_starlette import mount

    class User(SimpleUser):
        @property
        def identity(self) -> str:
            return self.username

        @property
        def display_name(self) -> str:
            return self.username.title()

    class Cookies(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            user = of_cookie(conn)
            return None if user is None else (AuthCredentials(["authenticated"]), User(user))

    app = Starlette(
        routes=[Route("/login", log_in, methods=["GET", "POST"])],
        middleware=[Middleware(AuthenticationMiddleware, backend=Cookies())],
    )
    return mount(app, "/api/mcp", server_of(login="/login"))


def fastapi() -> Any:
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    app.add_route("/login", log_in, methods=["GET", "POST"])
    return mount(app, "/api/mcp", server_of(user=of_cookie, login="/login"))


def bare() -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.add_route("/login", log_in, methods=["GET", "POST"])
    app.mount("/api/mcp", server_of(user=of_cookie, login="/login"))
    return app


def two() -> Any:
    """Two servers in one application."""
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    app.add_route("/login", log_in, methods=["GET", "POST"])
    mount(app, "/api/mcp", server_of(user=of_cookie, login="/login"))
    return mount(app, "/other/mcp", server_of("other", user=of_cookie, login="/login"))


def own_issuer() -> Any:
    """An application that is an authorization server itself."""
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    app.add_route("/login", log_in, methods=["GET", "POST"])

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> dict[str, str]:
        return {"issuer": "https://own.example"}

    @app.get("/token")
    def token() -> str:
        return "the application's own"

    return mount(app, "/api/mcp", server_of(user=of_cookie, login="/login"))


def _flask_application() -> Any:
    from flask import Flask, redirect, request, session

    app = Flask(__name__)
    app.config.update(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=OLDER_KEYS)

    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        if request.method == "GET":
            return LOGIN
        session["user"] = request.form["username"]
        return redirect(request.args["next"], 303)

    return app


def flask() -> Any:
    """With Flask-Login, by the configuration; the keys are the application's."""
    from flask import redirect, request
    from flask_login import LoginManager, UserMixin, login_user

    from mcp_mount_flask import MCPMount

    class User(UserMixin):
        def __init__(self, id: str) -> None:
            self.id = id

    app = _flask_application()
    manager = LoginManager(app)
    manager.login_view = "log_in"
    manager.user_loader(User)

    @app.route("/enter", methods=["GET", "POST"])
    def log_in() -> Any:
        if request.method == "GET":
            return LOGIN
        login_user(User(request.form["username"]))
        return redirect(request.args["next"], 303)

    app.config["MCP_AUTH"] = signing_in()
    register(MCPMount(app, "/api/mcp", name="orders", scopes="orders:read", **HERE))
    return app


def flask_session() -> Any:
    """With the application's own session."""
    from flask import session

    from mcp_mount_flask import MCPMount

    app = _flask_application()
    auth = signing_in(user=lambda: session.get("user"), login="/login")
    register(MCPMount(app, "/api/mcp", name="orders", auth=auth, **OPTIONS))
    return app


def flask_two() -> Any:
    """Two servers in one application, which has a page at every path."""
    from flask import session

    from mcp_mount_flask import MCPMount

    app = _flask_application()
    app.add_url_rule("/<path:rest>", "page", lambda rest: "a page")
    for path, name in (("/api/mcp", "orders"), ("/other/mcp", "other")):
        auth = signing_in(user=lambda: session.get("user"), login="/login")
        register(MCPMount(app, path, name=name, auth=auth, **OPTIONS))
    return app


def flask_beside() -> Any:
    from flask import session

    from mcp_mount_flask import mount

    server = server_of(user=lambda: session.get("user"), login="/login")
    return mount(_flask_application(), "/api/mcp", server)


def wsgi_beside() -> Any:
    """In front of a WSGI application: `user=` gets the environment of the request."""
    from http.cookies import SimpleCookie

    from werkzeug import Request, Response
    from werkzeug.utils import redirect

    from mcp_mount import mount_wsgi

    def app(environ: Any, start_response: Any) -> Any:
        return respond(Request(environ))(environ, start_response)

    def respond(request: Request) -> Any:
        if request.path != "/login":
            return Response("a page")
        if request.method == "GET":
            return Response(LOGIN, content_type="text/html")
        answer = redirect(request.args["next"], 303)
        answer.set_cookie("user", request.form["username"], samesite="Lax")
        return answer

    def of_environ(environ: dict[str, Any]) -> str | None:
        cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("user")
        return None if cookie is None else cookie.value

    return mount_wsgi(app, "/api/mcp", server_of(user=of_environ, login="/login"))


def flask_prefix() -> Any:
    """Below a prefix, which the application finds in SCRIPT_NAME."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.wrappers import Response

    return DispatcherMiddleware(Response("elsewhere", status=404), {"/app": flask()})


def uvicorn_prefix() -> Any:
    """Below a prefix, which the web server knows and leaves in the paths."""
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    app.add_route("/login", log_in, methods=["GET", "POST"])
    mount(app, "/api/mcp", server_of(user=of_cookie, login="/app/login"))

    async def with_whole_path(scope: Any, receive: Any, send: Any) -> None:
        # Uvicorn puts the prefix before the path, as for a proxy that takes it away.
        if scope["type"] == "http":
            scope["path"] = scope["path"].removeprefix("/app")
        await app(scope, receive, send)

    return with_whole_path


def flask_proxied() -> Any:
    """Behind a proxy, as docs/signing-in.md says."""
    from werkzeug.middleware.proxy_fix import ProxyFix

    app = flask()
    app.config["TRUSTED_HOSTS"] = ["app.example"]
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)
    return app


def flask_unaware() -> Any:
    """Behind a proxy of which it knows nothing."""
    app = flask()
    app.config["TRUSTED_HOSTS"] = ["app.example"]
    return app


def uvicorn_proxied() -> Any:
    """Behind a proxy, whose headers and prefix uvicorn knows."""
    from fastapi import FastAPI

    from mcp_mount_fastapi import mount

    app = FastAPI()
    app.add_route("/login", log_in, methods=["GET", "POST"])
    server = server_of(user=of_cookie, login="/shop/login")
    server.configure(allowed_hosts=["app.example"])
    return mount(app, "/api/mcp", server)


def django_prefix() -> Any:
    """Below a prefix, which the web server has in SCRIPT_NAME."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.wrappers import Response

    return DispatcherMiddleware(Response("elsewhere", status=404), {"/app": django_wsgi()})


def django_wsgi() -> Any:
    from tests.integrations.signing_in_project import application

    return application("wsgi")


def django_proxied() -> Any:
    """With PROXIED in the environment."""
    return django_wsgi()


def django_asgi() -> Any:
    from tests.integrations.signing_in_project import application

    return application("asgi")
