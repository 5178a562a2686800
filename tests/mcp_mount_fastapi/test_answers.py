"""Answers of exposed endpoints: they fit what is advertised, and are no larger than allowed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from jsonschema import validate
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.base import BaseHTTPMiddleware

from mcp_mount import MCPServer
from mcp_mount.testing import Client
from mcp_mount_fastapi import expose, mount

REVISIONS = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]


class Thing(BaseModel):
    name: str
    secret: str
    note: str | None


class Named(BaseModel):
    model_config = ConfigDict(serialize_by_alias=False, populate_by_name=True)

    full_name: str = Field(alias="fullName")


class Price(BaseModel):
    price: Decimal


router = APIRouter(prefix="/more")
thing = Thing(name="a", secret="b", note=None)


@router.get("/excluded", response_model_exclude={"secret"})
async def excluded() -> Thing:
    return thing


@router.get("/included", response_model_include={"name"})
async def included() -> Thing:
    return thing


@router.get("/no-none", response_model_exclude_none=True)
async def no_none() -> Thing:
    return thing


@router.get("/no-alias", response_model_by_alias=False)
async def no_alias() -> Named:
    return Named(full_name="Ada")


@router.get("/alias")
async def alias() -> Named:
    return Named(full_name="Ada")


@router.get("/price")
async def price() -> Price:
    return Price(price=Decimal("1.10"))


@router.get("/list")
async def many() -> list[Thing]:
    return [thing]


@router.get("/union")
async def either(number: bool = False) -> int | Thing:
    return 3 if number else thing


@router.get("/number")
async def number() -> int:
    return 7


@router.get("/mapping")
async def mapping() -> dict[str, int]:
    return {"a": 1}


@router.get("/text")
async def text() -> str:
    return "plain"


@router.get("/anything")
async def anything() -> Any:
    return {"a": 1}


@router.get("/own", response_model=Thing)
async def own() -> Any:
    return JSONResponse({"name": 1})


@router.get("/own-text", response_model=Thing)
async def own_text() -> Any:
    return PlainTextResponse("no thing")


@router.get("/nothing", response_model=Thing)
async def nothing() -> Any:
    return Response(status_code=204)


@pytest.fixture
def api() -> FastAPI:
    api = FastAPI()
    api.include_router(router)
    server = MCPServer("answers", secret_key="k")
    mount(api, "/mcp", server)
    expose(api, server, paths=["*"])
    return api


FITTING: list[tuple[str, dict[str, Any], Any]] = [
    ("excluded", {}, {"name": "a", "note": None}),
    ("included", {}, {"name": "a"}),
    ("no_none", {}, {"name": "a", "secret": "b"}),
    ("no_alias", {}, {"full_name": "Ada"}),
    ("alias", {}, {"fullName": "Ada"}),
    ("price", {}, {"price": "1.10"}),
    ("many", {}, [{"name": "a", "secret": "b", "note": None}]),
    ("either", {"number": True}, 3),
    ("either", {}, {"name": "a", "secret": "b", "note": None}),
    ("number", {}, 7),
    ("mapping", {}, {"a": 1}),
    ("anything", {}, {"a": 1}),
]
WITHOUT_SCHEMA = {"no_alias", "anything", "text"}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("tool", "arguments", "expected"), FITTING)
def test_an_answer_fits_what_is_advertised(
    api: FastAPI, tool: str, arguments: Any, expected: Any, revision: str
) -> None:
    with Client(api, revision=revision) as client:
        [schema] = [one.get("outputSchema") for one in client.list_tools() if one["name"] == tool]
        result = client.call_tool(tool, arguments)
    assert not result.is_error
    if revision == "2025-03-26":
        assert (schema, result.data) == (None, None)
        return
    if tool not in WITHOUT_SCHEMA:
        assert schema["type"] == "object"
    assert (schema is None) is (tool in WITHOUT_SCHEMA)
    assert result.data == expected
    if schema is not None:
        validate(result.structured, schema)


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_model_with_aliases_of_a_native_tool_fits_its_schema(revision: str) -> None:
    server = MCPServer("native", secret_key="k")

    @server.tool
    def named() -> Named:
        return Named(full_name="Ada")

    @server.tool
    def several() -> list[Named]:
        return [Named(full_name="Ada")]

    with Client(server, revision=revision) as client:
        for tool in client.list_tools():
            result = client.call_tool(tool["name"])
            validate(result.structured, tool["outputSchema"])
            assert "fullName" in result.text


def test_a_text_is_text_as_that_of_a_native_tool(api: FastAPI) -> None:
    with Client(api) as client:
        [schema] = [one.get("outputSchema") for one in client.list_tools() if one["name"] == "text"]
        assert schema["properties"]["result"]["type"] == "string"
        told = client.call_tool("text")
        assert (told.text, told.structured) == ("plain", {"result": "plain"})


@pytest.mark.parametrize(
    ("tool", "text"), [("own", '{"name":1}'), ("own_text", "no thing"), ("nothing", "Done")]
)
def test_an_answer_that_was_not_promised_goes_as_text(
    api: FastAPI, tool: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    def schema(client: Client) -> Any:
        return next(one.get("outputSchema") for one in client.list_tools() if one["name"] == tool)

    with Client(api) as client, caplog.at_level(logging.WARNING, "mcp_mount"):
        assert schema(client)["required"] == ["name", "secret", "note"]
        for _ in range(2):
            result = client.call_tool(tool)
            assert (result.is_error, result.text) == (False, text)
        assert schema(client) is None
    assert caplog.text.count(f"The endpoint of the tool {tool!r} answers what its schema does") == 1


class Endless:
    """Endpoints whose answers have no end, and what became of them."""

    def __init__(self) -> None:
        self.chunks = 0

    def api(self, *, middleware: bool) -> FastAPI:
        api = FastAPI()
        if middleware:
            api.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, go: go(request))

        async def endless() -> AsyncIterator[bytes]:
            while True:
                self.chunks += 1
                yield b"x" * 50_000
                await asyncio.sleep(0)

        def endless_lines() -> Iterator[bytes]:
            while True:
                self.chunks += 1
                yield b"x" * 50_000

        @api.get("/stream")
        async def stream() -> StreamingResponse:
            return StreamingResponse(endless(), media_type="text/plain")

        @api.get("/lines")
        def lines() -> StreamingResponse:
            return StreamingResponse(endless_lines(), media_type="text/plain")

        @api.get("/huge")
        async def huge() -> Response:
            return Response(b"x" * 5_000_000, media_type="application/octet-stream")

        return api


TOO_LARGE = "The answer has more than the {} bytes that may be sent. Ask for less."


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("tool", ["stream", "lines"])
@pytest.mark.parametrize(("limit", "expected"), [(1_000_000, 1_000_000), (None, 4_194_304)])
def test_an_endless_answer_is_stopped_at_the_limit(
    tool: str, middleware: bool, limit: int | None, expected: int
) -> None:
    endpoints = Endless()
    api = endpoints.api(middleware=middleware)
    server = MCPServer("s", **({} if limit is None else {"max_result_bytes": limit}))
    mount(api, "/mcp", server)
    expose(api, server, paths=["*"])
    with Client(api) as client:
        result = client.call_tool(tool)
    assert (result.is_error, result.text) == (True, TOO_LARGE.format(expected))
    assert endpoints.chunks <= expected // 50_000 + 20


def test_the_limit_is_that_of_the_tool() -> None:
    api = Endless().api(middleware=False)
    server = MCPServer("s", max_result_bytes=None)
    mount(api, "/mcp", server)
    expose(api, server, paths=["/huge"])
    with Client(api) as client:
        assert len(client.call_tool("huge").content) == 1
    server.configure(max_result_bytes=1000)
    with Client(api) as client:
        assert client.call_tool("huge").text == TOO_LARGE.format(1000)


@pytest.mark.parametrize("body", ["{}", "null", "[]", '""', '{"detail": ""}', ""])
def test_a_failure_that_says_nothing_is_told_by_its_status(body: str) -> None:
    api = FastAPI()

    @api.get("/embedded")
    async def embedded() -> Response:
        return Response(body, status_code=404, media_type="application/json")

    server = MCPServer("s")
    mount(api, "/mcp", server)
    expose(api, server, operations=["embedded"])
    with Client(api) as client:
        result = client.call_tool("embedded")
    assert (result.is_error, result.text) == (True, "The endpoint answers 404")


def test_a_warning_of_cookies_comes_once_for_all_endpoints(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FastAPI()

    @api.get("/first")
    async def first(response: Response) -> int:
        response.set_cookie("session", "1")
        return 1

    @api.get("/second")
    async def second(response: Response) -> int:
        response.set_cookie("session", "2")
        return 2

    server = MCPServer("s")
    mount(api, "/mcp", server)
    expose(api, server, paths=["*"])
    with Client(api) as client, caplog.at_level(logging.WARNING, "mcp_mount"):
        assert [client.call_tool(name).data for name in ("first", "second", "first")] == [1, 2, 1]
    assert caplog.text.count("sets a cookie") == 1
