"""A Flask application with users (Flask-Login), per-user data, transactions (SQLAlchemy)."""

from __future__ import annotations

import os
import sys
from typing import Any

from flask import Flask, redirect, request
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mcp_mount import Context, SyncContext, ToolError
from mcp_mount_flask import MCPMount


class Base(DeclarativeBase):
    pass


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    member: Mapped[str]
    amount: Mapped[int]


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


db = SQLAlchemy(model_class=Base)
login = LoginManager()
mcp = MCPMount(path="/mcp", name="ledger", permission=lambda request: current_user.is_authenticated)


@login.user_loader
def by_session(name: str) -> User:
    return User(name)


@login.request_loader
def by_token(request: Any) -> User | None:
    name = request.headers.get("authorization", "").removeprefix("Token token-of-")
    return User(name) if name else None


def total() -> int:
    query = select(func.sum(Entry.amount)).where(Entry.member == current_user.id)
    return db.session.scalar(query) or 0


def add(amount: int) -> None:
    db.session.add(Entry(member=current_user.id, amount=amount))
    db.session.flush()


@mcp.tool
def whoami() -> str:
    return f"{current_user.id}@example.org"


@mcp.tool
async def whoami_async(ctx: Context) -> str:
    return f"{current_user.id}@example.org"


@mcp.tool
def balance() -> int:
    return total()


@mcp.tool
async def balance_async() -> int:
    return total()


@mcp.tool
def deposit(amount: int) -> int:
    add(amount)
    db.session.commit()
    return total()


@mcp.tool
def deposit_aloud(amount: int, ctx: SyncContext) -> int:
    ctx.report_progress(1, 2)
    add(amount)
    db.session.commit()
    ctx.report_progress(2, 2)
    return total()


@mcp.tool
def deposit_and_fail(amount: int, crash: bool = False) -> int:
    add(amount)
    if crash:
        raise RuntimeError("secret")
    raise ToolError("No")


@mcp.tool
def deposit_aloud_and_fail(amount: int, ctx: SyncContext) -> int:
    ctx.report_progress(1)
    add(amount)
    raise ToolError("No")


def create_app() -> Flask:
    app = Flask("ledger", static_folder=None)
    app.config["SECRET_KEY"] = "for-tests-only"
    database = os.path.join(os.environ["LEDGER_FOLDER"], "default.sqlite3")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{database}?timeout=60"
    db.init_app(app)
    login.init_app(app)
    mcp.init_app(app)

    @app.post("/login")
    def log_in() -> Any:
        login_user(User(request.form["name"]))
        return redirect("/")

    @app.get("/checked-out")
    def checked_out() -> str:
        """How many connections of the pool are in use."""
        pool: Any = db.engine.pool
        return str(pool.checkedout())

    return app


def asgi() -> Any:
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(create_app())


if __name__ == "__main__":
    with create_app().app_context():
        db.create_all()
        db.session.connection().exec_driver_sql("PRAGMA journal_mode=WAL")
    sys.stdout.write("made\n")
