"""A Flask application for `flask mcp stdio`: tools that leave their session in different states."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mcp_mount import SyncContext, ToolError
from mcp_mount_flask import MCPMount


class Base(DeclarativeBase):
    pass


class Coin(Base):
    __tablename__ = "coin"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


db = SQLAlchemy(model_class=Base)


def create_app() -> Flask:
    app = Flask("till", static_folder=None)
    path = Path(os.environ["TILL_FOLDER"]) / "till.sqlite3"
    app.config.update(SECRET_KEY="k", SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}")
    db.init_app(app)
    with app.app_context():
        db.create_all()
    mcp = MCPMount(app, "/mcp", permission=lambda request: count() >= 0)

    def count() -> int:
        return db.session.scalar(select(func.count(Coin.id))) or 0

    def insert(name: str) -> None:
        db.session.add(Coin(name=name))
        db.session.flush()

    @mcp.tool
    def put(name: str) -> int:
        insert(name)
        db.session.commit()
        return count()

    @mcp.tool
    async def put_async(name: str) -> int:
        return put(name)

    @mcp.tool
    def drop(name: str, ctx: SyncContext) -> None:
        insert(name)
        ctx.report_progress(1, 2)
        raise ToolError("dropped")

    @mcp.tool
    async def drop_async(name: str) -> None:
        insert(name)
        raise ToolError("dropped")

    return app


def rows(folder: Any) -> list[str]:
    """The names in the database, which must not be locked."""
    with closing(sqlite3.connect(Path(folder) / "till.sqlite3", timeout=0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        return [name for (name,) in connection.execute("SELECT name FROM coin ORDER BY id")]


def empty(folder: Any) -> None:
    """Forget all coins."""
    with closing(sqlite3.connect(Path(folder) / "till.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM coin")
