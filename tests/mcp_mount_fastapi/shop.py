"""A FastAPI application with what such ones have: routers, models, users, files, streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, UploadFile
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import BaseModel, Field
from starlette.middleware.base import BaseHTTPMiddleware

from mcp_mount_fastapi import as_tool

USERS = {"token-of-ada": "ada", "token-of-bob": "bob"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 8


class Size(str, Enum):
    SMALL = "small"
    LARGE = "large"


class Part(BaseModel):
    name: str
    parts: list[Part] = []


class NewItem(BaseModel):
    name: str = Field(min_length=2, description="What it is called")
    price: float = Field(gt=0)
    size: Size = Size.SMALL
    part: Part | None = None


class Item(NewItem):
    id: int
    owner: str


bearer = HTTPBearer(auto_error=False)
cookie = APIKeyCookie(name="session", auto_error=False)


def current_user(
    token: Annotated[Any, Depends(bearer)], session: Annotated[str | None, Depends(cookie)]
) -> str:
    user = USERS.get(token.credentials if token else session or "")
    if user is None:
        raise HTTPException(401, "Not authenticated")
    return user


User = Annotated[str, Depends(current_user)]
items = APIRouter(prefix="/items", tags=["items"])
store: dict[int, Item] = {}


@items.get("")
def list_items(
    user: User,
    size: Size | None = None,
    words: Annotated[list[str], Query(description="Any of these")] = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[Item]:
    """List the caller's items."""
    found = [one for one in store.values() if one.owner == user]
    found = [one for one in found if size is None or one.size == size]
    return [one for one in found if not words or one.name in words][:limit]


@items.post("", status_code=201)
async def create_item(item: NewItem, user: User) -> Item:
    made = Item(**item.model_dump(), id=len(store) + 1, owner=user)
    store[made.id] = made
    return made


@items.get("/{item_id}", operation_id="getItem")
async def read_item(item_id: int, user: User) -> Item:
    if item_id not in store or store[item_id].owner != user:
        raise HTTPException(404, "There is no such item")
    return store[item_id]


@items.put("/{item_id}/name/{name}")
async def rename(item_id: int, name: str, user: User) -> Item:
    store[item_id].name = name
    return store[item_id]


@items.delete("/{item_id}", status_code=204)
async def delete_item(item_id: int, user: User) -> None:
    store.pop(item_id, None)


@items.post("/{item_id}/picture")
async def upload(item_id: int, file: UploadFile) -> None:
    """Not for tools."""


odd = APIRouter(tags=["odd"])


@odd.post("/sum")
async def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@odd.get("/echo/{path:path}")
async def echo(
    path: str,
    x_trace: Annotated[str, Header()] = "",
    accept_language: Annotated[str, Header()] = "",
) -> dict[str, str]:
    return {"path": path, "trace": x_trace, "language": accept_language}


@odd.get("/picture", response_class=Response)
async def picture() -> Response:
    return Response(PNG, media_type="image/png")


@odd.get("/report", response_class=PlainTextResponse)
async def report() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/csv")


@odd.get("/archive")
async def archive() -> Response:
    headers = {"content-disposition": 'attachment; filename="a.zip"'}
    return Response(b"PK", media_type="application/zip", headers=headers)


@odd.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret")


class Count(BaseHTTPMiddleware):
    """The application's own middleware; it counts what passes."""

    seen: list[str] = []  # noqa: RUF012

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        Count.seen.append(request.url.path)
        return await call_next(request)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"shop": "open"}


def build() -> FastAPI:
    store.clear()
    Count.seen.clear()
    api = FastAPI(lifespan=lifespan)
    api.include_router(items)
    api.include_router(odd)
    api.add_middleware(Count)

    @api.get("/marked", openapi_extra=as_tool("best_items", "The best there is."))
    async def marked() -> list[str]:
        return ["teapot"]

    return api
