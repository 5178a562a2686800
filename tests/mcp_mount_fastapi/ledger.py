"""A ledger in FastAPI, by dependencies, and one in Starlette, by its AuthenticationMiddleware."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mcp_mount import Context, MCPServer, SyncContext, ToolError
from mcp_mount_fastapi import mount


class Base(DeclarativeBase):
    pass


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    member: Mapped[str]
    amount: Mapped[int]


@cache
def engine() -> Engine:
    database = os.path.join(os.environ["LEDGER_FOLDER"], "default.sqlite3")
    return create_engine(
        f"sqlite:///{database}", connect_args={"timeout": 60}, pool_size=50, max_overflow=50
    )


def total(session: Session, member: str) -> int:
    query = select(func.sum(Entry.amount)).where(Entry.member == member)
    return session.scalar(query) or 0


def add(session: Session, member: str, amount: int) -> None:
    session.add(Entry(member=member, amount=amount))
    session.flush()


def added(session: Session, member: str, amount: int) -> int:
    """In one go: whoever holds the database must not wait for a thread."""
    add(session, member, amount)
    return total(session, member)


def transaction() -> Iterator[Session]:
    """A session that commits when the call is done, and rolls back when it fails."""
    with Session(engine()) as session, session.begin():
        yield session


def caller(token: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    if not token.credentials.startswith("token-of-"):
        raise HTTPException(401, "Not authenticated")
    return token.credentials.removeprefix("token-of-")


Database = Annotated[Session, Depends(transaction)]
Caller = Annotated[str, Depends(caller)]


def fastapi() -> FastAPI:
    server = MCPServer("ledger", secret_key="for-tests-only")

    @server.tool
    def whoami(name: Caller) -> str:
        return f"{name}@example.org"

    @server.tool
    async def whoami_async(name: Caller, ctx: Context) -> str:
        return f"{name}@example.org"

    @server.tool
    def balance(name: Caller, session: Database) -> int:
        return total(session, name)

    @server.tool
    async def balance_async(name: Caller, session: Database) -> int:
        return await asyncio.to_thread(total, session, name)

    @server.tool
    def deposit(amount: int, name: Caller, session: Database) -> int:
        add(session, name, amount)
        return total(session, name)

    @server.tool
    async def deposit_aloud(amount: int, name: Caller, session: Database, ctx: Context) -> int:
        await ctx.report_progress(1, 2)
        return await asyncio.to_thread(added, session, name, amount)

    @server.tool
    def deposit_and_fail(amount: int, name: Caller, session: Database, crash: bool = False) -> int:
        add(session, name, amount)
        if crash:
            raise RuntimeError("secret")
        raise ToolError("No")

    @server.tool
    async def deposit_aloud_and_fail(
        amount: int, name: Caller, session: Database, ctx: Context
    ) -> int:
        await ctx.report_progress(1)
        await asyncio.to_thread(add, session, name, amount)
        raise ToolError("No")

    api = FastAPI()
    api.get("/checked-out")(checked_out)
    mount(api, "/mcp", server)
    return api


def checked_out() -> int:
    """How many connections of the pool are in use."""
    pool: Any = engine().pool
    return int(pool.checkedout())


class ByToken(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:
        name = conn.headers.get("authorization", "").removeprefix("Bearer token-of-")
        return (AuthCredentials(["member"]), SimpleUser(name)) if name else None


def starlette() -> Starlette:
    server = MCPServer("ledger", secret_key="for-tests-only", permission="member")

    def name_of(request: Request) -> str:
        return str(request.user.display_name)

    @server.tool
    def whoami(request: Request) -> str:
        return f"{name_of(request)}@example.org"

    @server.tool
    async def whoami_async(ctx: Context) -> str:
        return f"{name_of(ctx.request)}@example.org"

    @server.tool
    def balance(request: Request) -> int:
        with Session(engine()) as session:
            return total(session, name_of(request))

    @server.tool
    async def balance_async(request: Request) -> int:
        return await asyncio.to_thread(balance, request)

    def change(request: Request, amount: int, ctx: SyncContext | None, *, fail: bool) -> int:
        with Session(engine()) as session, session.begin():
            add(session, name_of(request), amount)
            if ctx is not None:
                ctx.report_progress(1)
            if fail:
                raise ToolError("No")
            return total(session, name_of(request))

    @server.tool
    def deposit(request: Request, amount: int) -> int:
        return change(request, amount, None, fail=False)

    @server.tool
    def deposit_aloud(ctx: SyncContext, amount: int) -> int:
        return change(ctx.request, amount, ctx, fail=False)

    @server.tool
    def deposit_and_fail(request: Request, amount: int, crash: bool = False) -> int:
        if crash:
            raise RuntimeError("secret")
        return change(request, amount, None, fail=True)

    @server.tool
    def deposit_aloud_and_fail(ctx: SyncContext, amount: int) -> int:
        return change(ctx.request, amount, ctx, fail=True)

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(checked_out()))

    app = Starlette(
        routes=[Route("/checked-out", page)],
        middleware=[Middleware(AuthenticationMiddleware, backend=ByToken())],
    )
    mount(app, "/mcp", server)
    return app


if __name__ == "__main__":
    Base.metadata.create_all(engine())
    with engine().connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    sys.stdout.write("made\n")
