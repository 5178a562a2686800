"""Django's own exceptions in handlers, and its signal for requests that fail."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mcp_mount.testing import AsyncClient, Client, RPCError

pytestmark = pytest.mark.usefixtures("project", "own_servers")
REVISIONS = ["2026-07-28", "2025-11-25"]
HOST = {"host": "localhost"}


def raised(name: str) -> None:
    """Raise one of the exceptions by which Django's views answer."""
    from django.core.exceptions import (
        BadRequest,
        PermissionDenied,
        SuspiciousOperation,
        ValidationError,
    )
    from django.http import Http404
    from rest_framework.exceptions import NotFound, Throttled
    from rest_framework.exceptions import ValidationError as Invalid

    from tests.mcp_mount_django.ledger.models import Member

    if name == "no row":
        Member.objects.get(pk=0)
    errors: dict[str, Callable[[], Exception]] = {
        "404": lambda: Http404("No entry 7"),
        "404 of a resolver": lambda: Http404({"path": "x", "tried": []}),
        "forbidden": lambda: PermissionDenied("Only for staff"),
        "forbidden, no words": PermissionDenied,
        "invalid": lambda: ValidationError("Too much"),
        "invalid fields": lambda: ValidationError({"amount": ["Too much", "Odd"]}),
        "suspicious": lambda: SuspiciousOperation("secret detail"),
        "bad": lambda: BadRequest("No such page"),
        "rest: not found": lambda: NotFound(),
        "rest: invalid": lambda: Invalid({"amount": [{"value": ["Too much"]}]}),
        "rest: throttled": lambda: Throttled(wait=9),
    }
    raise errors[name]()


TOLD = {
    "404": "No entry 7",
    "404 of a resolver": "Not found",
    "no row": "Member matching query does not exist.",
    "forbidden": "Only for staff",
    "forbidden, no words": "Permission denied",
    "invalid": "Too much",
    "invalid fields": "amount: Too much; amount: Odd",
    "suspicious": "The request was refused",
    "bad": "No such page",
    "rest: not found": "Not found.",
    "rest: invalid": "amount.value: Too much",
    "rest: throttled": "Request was throttled. Expected available in 9 seconds.",
}


def server() -> Any:
    from asgiref.sync import sync_to_async

    from mcp_mount_django import MCPServer

    own = MCPServer("raising", open=True)

    @own.tool
    def plain(name: str) -> None:
        raised(name)

    @own.tool
    async def coroutine(name: str) -> None:
        await sync_to_async(raised)(name)

    @own.resource("entry://{name}")
    def entry(name: str) -> str:
        raised(name)
        return ""

    @own.prompt
    def about(name: str) -> str:
        raised(name)
        return ""

    return own


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("tool", ["plain", "coroutine"])
def test_tools_say_what_django_would(tool: str, revision: str) -> None:
    with Client(server(), revision=revision, headers=HOST) as client:
        for name, words in TOLD.items():
            result = client.call_tool(tool, {"name": name})
            assert (name, result.is_error, result.text) == (name, True, words)


@pytest.mark.parametrize(("revision", "missing"), [("2026-07-28", -32602), ("2025-11-25", -32002)])
def test_resources_say_that_they_are_not_there(revision: str, missing: int) -> None:
    with Client(server(), revision=revision, headers=HOST) as client:
        for name in ("404", "no row", "rest: not found", "forbidden"):
            with pytest.raises(RPCError) as caught:
                client.read_resource(f"entry://{name}")
            assert TOLD[name] in caught.value.message
            assert (caught.value.code == missing) is (name != "forbidden")


@pytest.mark.parametrize("revision", REVISIONS)
def test_prompts_say_what_django_would(revision: str) -> None:
    with Client(server(), revision=revision, headers=HOST) as client:
        for name in ("404", "no row", "forbidden", "invalid"):
            with pytest.raises(RPCError) as caught:
                client.get_prompt("about", {"name": name})
            assert TOLD[name] in caught.value.message


def failing() -> Any:
    from mcp_mount import ToolError
    from mcp_mount_django import MCPServer

    own = MCPServer("failing", open=True)

    @own.tool
    def crash() -> None:
        raise KeyError("x")

    @own.tool
    async def crash_async() -> None:
        raise KeyError("x")

    @own.tool
    def refuse() -> None:
        raise ToolError("No")

    @own.tool
    def missing() -> None:
        raised("404")

    return own


@pytest.fixture
def heard() -> Any:
    """What receivers of `got_request_exception` have heard: the exception, and who asked."""
    from django.core.signals import got_request_exception

    found: list[Any] = []

    def hear(sender: Any, request: Any, **kwargs: Any) -> None:
        found.append((type(sys.exc_info()[1]), request.path))

    got_request_exception.connect(hear)
    yield found
    got_request_exception.disconnect(hear)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("tool", ["crash", "crash_async"])
def test_real_failures_are_told_as_those_of_views(
    heard: list[Any], tool: str, revision: str
) -> None:
    with Client(failing(), revision=revision, headers=HOST) as client:
        assert client.call_tool(tool).is_error
        assert heard == [(KeyError, "/")]
        for other in ("refuse", "missing"):
            assert client.call_tool(other).is_error
    assert len(heard) == 1


@pytest.mark.parametrize("tool", ["crash", "crash_async"])
def test_real_failures_are_told_under_asgi_off_the_event_loop(tool: str) -> None:
    from django.core.signals import got_request_exception

    server = failing()
    found: list[Any] = []

    async def run() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear(sender: Any, request: Any, **kwargs: Any) -> None:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            found.append(type(sys.exc_info()[1]))
            loop.call_soon_threadsafe(told.set)

        got_request_exception.connect(hear)
        try:
            async with AsyncClient(server, headers=HOST) as client:
                assert (await client.call_tool(tool)).is_error
                await asyncio.wait_for(told.wait(), 20)
        finally:
            got_request_exception.disconnect(hear)

    asyncio.run(run())
    assert found == [KeyError]
