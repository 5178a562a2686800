"""Documents as the source of tools, and an application that notes the requests it gets."""

from __future__ import annotations

from typing import Any

from mcp_mount import MCPServer
from mcp_mount.openapi.adding import Exposed
from mcp_mount.openapi.bodies import ResponseBody
from mcp_mount.openapi.exposing import expose_document
from mcp_mount.openapi.requests import Sent
from mcp_mount.openapi.responses import Answer
from mcp_mount.testing import Client

OK = Answer(200, {"content-type": "application/json"}, b'{"ok":true}')


class Machine:
    """A server with the tools of a document.

    sent: the requests that the application got, the last one last. answers: what it answers, each
    once, then OK.
    """

    def __init__(self, document: Any, **options: Any) -> None:
        self.server = MCPServer("s", open=True)
        self.sent: list[Sent] = []
        self.answers: list[Answer] = []
        self.exposed: Exposed = expose_document(
            self.server, document, self._send, **({"paths": "*"} | options)
        )

    def _send(self, request: Any, sent: Sent, collected: ResponseBody) -> Answer:
        self.sent.append(sent)
        return self.answers.pop(0) if self.answers else OK

    def schema(self, tool: str) -> dict[str, Any]:
        schema: dict[str, Any] = self.server.registry.tools[tool].arguments.schema
        return schema

    def output(self, tool: str) -> dict[str, Any] | None:
        return self.server.registry.tools[tool].output.schema

    def call(self, tool: str, **arguments: Any) -> Any:
        with Client(self.server) as client:
            return client.call_tool(tool, arguments)

    def request(self, tool: str, **arguments: Any) -> Sent:
        """The request that a call makes."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result.text
        return self.sent[-1]


def document(path: str = "/x", method: str = "get", **members: Any) -> dict[str, Any]:
    """A document with one operation, "op". components: those of the document."""
    components = members.pop("components", {})
    return {
        "openapi": "3.0.3",
        "paths": {path: {method: {"operationId": "op", **members}}},
        "components": components,
    }


def body(schema: Any, kind: str = "application/json", **members: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {kind: {"schema": schema}}, **members}}
