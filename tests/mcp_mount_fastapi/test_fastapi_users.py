"""Code of others: the routers of FastAPI Users, mounted as the docs say."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool

from mcp_mount import MCPServer
from mcp_mount.testing import Client
from mcp_mount_fastapi import expose, mount

SECRET = "for-tests-only-but-long-enough-for-a-key"


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class Read(schemas.BaseUser[uuid.UUID]):
    pass


class Create(schemas.BaseUserCreate):
    pass


class Update(schemas.BaseUserUpdate):
    pass


class Users(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/db.sqlite3", poolclass=NullPool)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def make_tables() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    asyncio.run(make_tables())

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    async def get_database(
        session: Annotated[AsyncSession, Depends(get_session)],
    ) -> AsyncIterator[Any]:
        yield SQLAlchemyUserDatabase(session, User)

    async def get_manager(database: Annotated[Any, Depends(get_database)]) -> AsyncIterator[Users]:
        yield Users(database)

    backend = AuthenticationBackend(
        name="jwt",
        transport=BearerTransport(tokenUrl="auth/jwt/login"),
        get_strategy=lambda: JWTStrategy(secret=SECRET, lifetime_seconds=3600),
    )
    users = FastAPIUsers[User, uuid.UUID](get_manager, [backend])
    api = FastAPI()
    api.include_router(users.get_auth_router(backend), prefix="/auth/jwt", tags=["auth"])
    api.include_router(users.get_register_router(Read, Create), prefix="/auth", tags=["auth"])
    api.include_router(users.get_reset_password_router(), prefix="/auth", tags=["auth"])
    api.include_router(users.get_verify_router(Read), prefix="/auth", tags=["auth"])
    api.include_router(users.get_users_router(Read, Update), prefix="/users", tags=["users"])

    server = MCPServer("users", secret_key="k")

    @server.tool
    async def whoami(user: Annotated[User, Depends(users.current_user())]) -> str:
        """Who calls."""
        return user.email

    mount(api, "/mcp", server)
    expose(api, server, tags=["auth", "users"], names={"register_register": "register"})
    return api


def call(app: FastAPI, tool: str, token: str | None = None, **arguments: Any) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with Client(app, headers=headers) as client:
        return client.call_tool(tool, arguments)


def test_every_endpoint_is_a_tool(app: FastAPI) -> None:
    with Client(app) as client:
        tools = {tool["name"]: tool["inputSchema"] for tool in client.list_tools()}
    assert list(tools) == [
        "whoami",
        "auth_jwt_login",
        "auth_jwt_logout",
        "register",
        "reset_forgot_password",
        "reset_reset_password",
        "verify_request_token",
        "verify_verify",
        "users_current_user",
        "users_patch_current_user",
        "users_user",
        "users_patch_user",
        "users_delete_user",
    ]
    # A form, and JSON with an argument of the path.
    assert tools["auth_jwt_login"]["required"] == ["username", "password"]
    assert tools["users_patch_user"]["required"] == ["id"]


def test_users_register_log_in_and_are_known_to_tools(app: FastAPI) -> None:
    account = {"email": "ada@example.org", "password": "secretsecret"}
    made = call(app, "register", **account).data
    assert made["email"] == "ada@example.org"
    login = {"username": account["email"], "password": account["password"]}
    token = call(app, "auth_jwt_login", **login).data["access_token"]
    assert call(app, "users_current_user", token).data["id"] == made["id"]
    assert call(app, "whoami", token).text == "ada@example.org"
    for tool in ("whoami", "users_current_user"):
        refused = call(app, tool)
        assert (refused.is_error, refused.text) == (True, "Unauthorized")
    assert call(app, "users_user", token, id=made["id"]).text == "Forbidden"
    wrong = call(app, "users_patch_current_user", token, email="nope")
    assert wrong.text.startswith("email: value is not a valid email address")
    again = call(app, "register", **account)
    assert (again.is_error, again.text) == (True, "REGISTER_USER_ALREADY_EXISTS")
