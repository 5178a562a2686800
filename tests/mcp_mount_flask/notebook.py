"""A Flask application that writes down when its contexts end: for real servers.

A tool does half of its work, speaks, and does the rest: its contexts must last. `/diary` tells what
happened in a call, `/go` lets a tool that waits go on, `/anew` forgets all of it.
"""

from __future__ import annotations

import asyncio
import threading
from itertools import count
from typing import Any

from flask import Flask, g, jsonify
from flask_login import LoginManager, UserMixin, current_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import delete, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool

from mcp_mount import Context, MCPServer, SyncContext
from mcp_mount_flask import MCPMount, mount, mount_asgi


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    writer: Mapped[str]


class Person(UserMixin, Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


db = SQLAlchemy(model_class=Base)
server = MCPServer("notebook", secret_key="for-tests-only")
diary: list[str] = []
go = threading.Event()
numbers = count(1)


def begin() -> None:
    """The first half: a row that is not yet committed, something of the application context's."""
    g.number = next(numbers)
    db.session.add(Note(writer="ada"))
    diary.append("begun")


def end() -> str:
    """The second half, after the first event went out."""
    db.session.commit()
    # Expired by the commit: it is loaded again, by the session that it came from.
    name = getattr(current_user, "name", None)
    diary.append(f"ended {g.number is not None}")
    return f"saved by {name}"


@server.tool
def save(ctx: SyncContext) -> str:
    begin()
    ctx.report_progress(1, 2)
    return end()


@server.tool
async def save_async(ctx: Context) -> str:
    begin()
    await ctx.report_progress(1, 2)
    await asyncio.sleep(0)
    return end()


@server.tool
def save_slowly(ctx: SyncContext) -> str:
    begin()
    try:
        ctx.report_progress(1, 9)
        assert go.wait(20)
        for step in range(2, 9):
            # The client has left: the server notices when it writes.
            ctx.report_progress(step, 9)
        return end()
    finally:
        diary.append(f"over {g.number is not None}")


@server.tool
async def save_slowly_async(ctx: Context) -> str:
    begin()
    try:
        await ctx.report_progress(1, 9)
        assert await asyncio.to_thread(go.wait, 20)
        for step in range(2, 9):
            await ctx.report_progress(step, 9)
            await asyncio.sleep(0.01)
        return end()
    finally:
        await asyncio.sleep(0.05)
        diary.append(f"over {g.number is not None}")


def create_app() -> Flask:
    """The application, with its database in memory."""
    app = Flask("notebook", static_folder=None)
    app.config.update(
        SECRET_KEY="for-tests-only",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        SQLALCHEMY_ENGINE_OPTIONS={
            "connect_args": {"check_same_thread": False},
            "poolclass": StaticPool,
        },
    )
    db.init_app(app)
    login = LoginManager(app)
    login.user_loader(lambda key: db.session.get(Person, int(key)))
    login.request_loader(
        lambda request: db.session.scalar(
            select(Person).where(Person.name == request.headers.get("person"))
        )
    )
    with app.app_context():
        db.create_all()
        db.session.add(Person(name="ada"))
        db.session.commit()

    @app.teardown_request
    def request_is_over(error: BaseException | None) -> None:
        if "number" in g:
            diary.append(f"request torn down, {error!r}")

    @app.teardown_appcontext
    def application_is_over(error: BaseException | None) -> None:
        if "number" in g:
            diary.append(f"application torn down, {error!r}")

    @app.get("/diary")
    def show() -> Any:
        shown, diary[:] = diary[:], []
        return jsonify(diary=shown, notes=db.session.scalar(select(func.count(Note.id))))

    @app.post("/anew")
    def begin_anew() -> str:
        go.clear()
        diary.clear()
        db.session.execute(delete(Note))
        db.session.commit()
        return "empty"

    @app.post("/go")
    def let_go() -> str:
        go.set()
        return "gone"

    return app


def inside() -> Flask:
    app = create_app()
    MCPMount(app, "/mcp", server)
    return app


def beside() -> Any:
    return mount(create_app(), "/mcp", server)


def beside_asgi() -> Any:
    return mount_asgi(create_app(), "/mcp", server)
