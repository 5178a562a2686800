"""Applications with a SignIn for several worker processes: Django with its database, Flask with
Flask-Login and SQLite, Starlette.

With PROVIDER, the URL of an identity provider, there are clients that act for themselves, and the
provider vouches for people; the keys of both are there. FOLDER has the databases, and the file
`ahead`: how many seconds their clocks for what is known of connections are ahead. GRACE is that of
refresh tokens. `/people` changes people, without asking.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from mcp_mount import SyncContext
from mcp_mount.auth import IDJAG, Client
from mcp_mount.auth.authorization.sign_in import SignIn
from mcp_mount.auth.verifiers import VerificationCache

FOLDER = Path(os.environ.get("FOLDER", "."))
SCOPES = {"orders:read": "See your orders", "orders:write": "Change your orders"}
MACHINE = ("night%ly", "s:e+cr et&0123456789 of 32 characters")
"""A client whose id and secret look different in the two ways of HTTP Basic."""

PAGE = '<h1>Log in</h1><form method="post"><input name="username"></form>'


def sign_in(find_user: Callable[[str], str] = str, **options: Any) -> SignIn:
    provider = os.environ.get("PROVIDER")
    if provider is not None:
        own = {"scopes": ["orders:read"]}
        options["clients"] = [
            Client(MACHINE[0], secret=MACHINE[1], **own),
            Client("signer", jwks_uri=f"{provider}/keys", **own),
            Client("assistant", secret=MACHINE[1], grants="jwt-bearer"),
        ]
        options["enterprise"] = IDJAG(
            provider, lambda claims: find_user(claims["sub"]), jwks_uri=f"{provider}/keys"
        )
    made = SignIn(scopes=SCOPES, grace=float(os.environ.get("GRACE", "60")), **options)
    ahead = FOLDER / "ahead"
    made._tokens._known = VerificationCache(lambda: monotonic() + float(ahead.read_text()))
    made._tokens._unrevoked = VerificationCache(lambda: monotonic() + float(ahead.read_text()))
    return made


def told(ctx: SyncContext, user: str) -> str:
    """What a tool tells of its caller, and of the user of its host."""
    token = ctx.access_token
    assert token is not None
    return f"{ctx.caller} {' '.join(sorted(token.scopes))} {token.is_client} {user}"


def prepare(host: str) -> None:
    """Make the databases, with ann and bob."""
    (FOLDER / "ahead").write_text("0")
    if host == "flask":
        with sqlite3.connect(FOLDER / "people.sqlite3") as people:
            people.execute("CREATE TABLE people (name TEXT, password INTEGER, active INTEGER)")
            people.executemany("INSERT INTO people VALUES (?, 1, 1)", [("ann",), ("bob",)])
        people.close()
        return
    if host == "starlette":
        return
    configure_django()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for name in ("ann", "bob"):
        User.objects.create_user(name, password="secret")


def configure_django() -> None:
    import django
    from django.conf import settings

    settings.configure(
        ROOT_URLCONF="tests.auth.authorization.site_urls",
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="for-tests-only",
        LOGIN_URL="/login/",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "mcp_mount_django",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": FOLDER / "db.sqlite3",
                "ATOMIC_REQUESTS": True,
                "OPTIONS": {"timeout": 30},
            }
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


def django() -> Any:
    configure_django()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def flask() -> Any:
    from flask import Flask, redirect, request
    from flask_login import LoginManager, UserMixin, current_user, login_user

    from mcp_mount_flask import MCPMount

    app = Flask(__name__)
    app.config["SECRET_KEY"] = "for-tests-only"
    manager = LoginManager(app)
    manager.login_view = "login"

    def people(statement: str, *given: Any) -> Any:
        raw = sqlite3.connect(FOLDER / "people.sqlite3", timeout=30)
        try:
            with raw:
                return raw.execute(statement, given).fetchone()
        finally:
            raw.close()

    class Member(UserMixin):  # type: ignore[misc]
        """A member, whose id changes with the password (Flask-Login's alternative tokens)."""

        def __init__(self, name: str, password: int, active: int) -> None:
            self.name = name
            self.password = password
            self.active = active

        def get_id(self) -> str:
            return f"{self.name} {self.password}"

        @property
        def is_active(self) -> bool:
            return bool(self.active)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(id: str) -> Member | None:
        name, _, password = id.partition(" ")
        row = people("SELECT * FROM people WHERE name = ? AND password = ?", name, password)
        return None if row is None else Member(*row)

    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        if request.method == "GET":
            return PAGE
        row = people("SELECT * FROM people WHERE name = ?", request.form["username"])
        login_user(Member(*row))
        return redirect(request.args["next"])

    @app.post("/people")
    def change() -> str:
        given = request.form
        if "active" in given:
            active = int(given["active"])
            people("UPDATE people SET active = ? WHERE name = ?", active, given["name"])
        else:
            people("UPDATE people SET password = password + 1 WHERE name = ?", given["name"])
        return ""

    @app.get("/process")
    def process() -> str:
        return str(os.getpid())

    auth = sign_in(
        "{} 1".format, store=lambda: sqlite3.connect(FOLDER / "connections.sqlite3", timeout=30)
    )
    mcp = MCPMount(app, "/mcp", name="shop", auth=auth, version="1")

    @mcp.tool(scopes="orders:read")
    def orders() -> str:
        """Show orders."""
        return f"orders of {current_user.name}"

    @mcp.tool
    def whoami(ctx: SyncContext) -> str:
        """Tell who calls."""
        return told(ctx, current_user.name if current_user.is_authenticated else "nobody")

    return app


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from mcp_mount import MCPServer
    from mcp_mount_starlette import mount

    async def process(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()))

    auth = sign_in(
        user=lambda request: None,
        login="/login",
        store=lambda: sqlite3.connect(FOLDER / "connections.sqlite3", timeout=30),
    )
    server = MCPServer("shop", auth=auth, secret_key="for-tests-only", version="1")

    @server.tool(scopes="orders:read")
    def orders(ctx: SyncContext) -> str:
        """Show orders."""
        return f"orders of {ctx.caller}"

    @server.tool
    def whoami(ctx: SyncContext) -> str:
        """Tell who calls."""
        return told(ctx, "nobody")

    return mount(Starlette(routes=[Route("/process", process)]), "/mcp", server)


if __name__ == "__main__":
    import sys

    prepare(sys.argv[1])
