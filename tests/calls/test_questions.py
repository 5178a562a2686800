"""Questions in revision 2026-07-28: the call ends, and runs again with the answers."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import pytest
from pydantic import BaseModel

from mcp_mount import ClientError, Context, MCPServer, SyncContext, elicitation, roots, sampling
from mcp_mount.protocol import Request
from mcp_mount.testing import Client
from tests.requests import Session, meta, stateless

EVERYTHING = {"elicitation": {}, "sampling": {}, "roots": {}}


class Name(BaseModel):
    name: str


class Age(BaseModel):
    age: int


@pytest.fixture
def runs() -> list[str]:
    return []


@pytest.fixture
def server(runs: list[str]) -> MCPServer:
    server = MCPServer("tests", secret_key="k")

    @server.tool
    def greet(greeting: str, ctx: SyncContext) -> str:
        runs.append("start")
        name = ctx.elicit("Your name?", Name)
        runs.append("named")
        age = ctx.elicit("Your age?", Age)
        if name.data is None or age.data is None:
            return f"{name.action} {age.action}"
        return f"{greeting} {name.data.name}, {age.data.age}"

    @server.tool
    async def everything(ctx: Context) -> str:
        try:
            answers = await ctx.ask(
                {"who": elicitation("Who?", Name), "say": sampling("Say"), "where": roots()}
            )
        except Exception:
            # A handler's own net does not catch the question.
            return "caught"
        return json.dumps([answers["who"].data.name, answers["say"]["model"], answers["where"]])

    @server.prompt
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Your name?", Name, key="person")
        return f"Ask {answer.data.name}" if answer.data else "Ask nobody"

    @server.tool
    def careful(ctx: SyncContext) -> str:
        try:
            ctx.elicit("Your name?", Name)
        except ClientError as error:
            return str(error)
        return "answered"

    return server


def send(
    server: MCPServer, params: dict[str, Any], *, capabilities: Any = EVERYTHING, **more: Any
) -> Any:
    method = more.pop("method", "tools/call")
    full = {"_meta": meta(capabilities=capabilities), **params, **more}
    headers, body = stateless(method, full)
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    return json.loads(reply.body)


GREET = {"name": "greet", "arguments": {"greeting": "Hello"}}


def accept(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


def test_each_question_is_a_round_and_the_handler_starts_again(
    server: MCPServer, runs: list[str]
) -> None:
    first = send(server, GREET)["result"]
    assert first["resultType"] == "input_required"
    assert first["inputRequests"] == {
        "elicitation-1": {
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": "Your name?",
                "requestedSchema": {
                    "type": "object",
                    "properties": {"name": {"title": "Name", "type": "string"}},
                    "required": ["name"],
                },
            },
        }
    }
    assert first["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "tests"
    assert "content" not in first
    second = send(
        server,
        GREET,
        requestState=first["requestState"],
        inputResponses={"elicitation-1": accept(name="Ada")},
    )["result"]
    assert list(second["inputRequests"]) == ["elicitation-2"]
    third = send(
        server,
        GREET,
        requestState=second["requestState"],
        inputResponses={"elicitation-2": accept(age=36)},
    )["result"]
    assert third["resultType"] == "complete"
    assert third["content"][0]["text"] == "Hello Ada, 36"
    assert runs == ["start", "start", "named", "start", "named"]


def test_a_person_may_decline(server: MCPServer) -> None:
    state = send(server, GREET)["result"]["requestState"]
    responses = {"elicitation-1": {"action": "decline"}, "elicitation-2": {"action": "cancel"}}
    result = send(server, GREET, requestState=state, inputResponses=responses)["result"]
    assert result["content"][0]["text"] == "decline cancel"


@pytest.mark.parametrize(
    "answer", [accept(), accept(name=3), {"action": "perhaps"}, {}, 12, None, "accept"]
)
def test_an_answer_that_does_not_fit_is_asked_again(server: MCPServer, answer: Any) -> None:
    state = send(server, GREET)["result"]["requestState"]
    responses = {"elicitation-1": answer}
    result = send(server, GREET, requestState=state, inputResponses=responses)["result"]
    assert list(result["inputRequests"]) == ["elicitation-1"]


def test_several_questions_go_at_once_and_only_the_missing_again(server: MCPServer) -> None:
    call = {"name": "everything"}
    first = send(server, call)["result"]
    methods = {key: one["method"] for key, one in first["inputRequests"].items()}
    assert methods == {
        "who": "elicitation/create",
        "say": "sampling/createMessage",
        "where": "roots/list",
    }
    said = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "x"}}
    second = send(
        server,
        call,
        requestState=first["requestState"],
        inputResponses={"who": accept(name="Ada"), "say": said, "unknown": 1},
    )["result"]
    assert list(second["inputRequests"]) == ["where"]
    third = send(
        server,
        call,
        requestState=second["requestState"],
        inputResponses={"where": {"roots": [{"uri": "file:///a"}]}},
    )["result"]
    assert json.loads(third["content"][0]["text"]) == ["Ada", "m", [{"uri": "file:///a"}]]


def test_a_prompt_may_ask_too(server: MCPServer) -> None:
    call = {"name": "ask"}
    first = send(server, call, method="prompts/get")["result"]
    assert list(first["inputRequests"]) == ["person"]
    done = send(
        server,
        call,
        method="prompts/get",
        requestState=first["requestState"],
        inputResponses={"person": accept(name="Ada")},
    )["result"]
    assert done["messages"][0]["content"]["text"] == "Ask Ada"


def test_a_client_that_cannot_be_asked_is_told_what_it_needs(server: MCPServer) -> None:
    headers, body = stateless("tools/call", {"_meta": meta(capabilities={"roots": {}}), **GREET})
    reply = server.core.wsgi_endpoint.respond_to(Request("POST", headers, body))
    assert reply.status == 400  # type: ignore[union-attr]
    error = json.loads(reply.body)["error"]  # type: ignore[union-attr]
    assert error["code"] == -32021
    assert error["data"] == {"requiredCapabilities": {"elicitation": {}}}


def test_a_handler_may_go_on_without_a_client_that_can_be_asked(server: MCPServer) -> None:
    for revision in ("2026-07-28", "2025-11-25"):
        with Client(server, revision=revision) as client:
            assert "support elicitation" in client.call_tool("careful").text


def test_a_state_is_refused_that_is_not_for_this_request(server: MCPServer) -> None:
    state = send(server, GREET)["result"]["requestState"]
    others = [
        ({"name": "greet", "arguments": {"greeting": "Bye"}}, state),
        ({"name": "everything"}, state),
        (GREET, state + "x"),
        (GREET, state[:-3]),
        (GREET, "x.y.z"),
        (GREET, ""),
        (GREET, 7),
        (GREET, Session(server, "2025-11-25").headers["mcp-session-id"]),
    ]
    for call, wrong in others:
        answer = send(server, call, requestState=wrong, inputResponses={})
        assert answer["error"]["code"] == -32602, wrong
    stranger = MCPServer("tests", secret_key="other")
    stranger.tool(name="greet")(lambda greeting: greeting)
    assert send(stranger, GREET, requestState=state)["error"]["code"] == -32602


def test_a_state_has_a_life(server: MCPServer) -> None:
    state = send(server, GREET)["result"]["requestState"]
    server.core.protocol.settings.state_ttl = 0
    time.sleep(1.1)
    answer = send(server, GREET, requestState=state)
    assert "expired" in answer["error"]["message"]


@pytest.mark.parametrize("responses", [None, [], 3, "x"])
def test_malformed_responses_are_refused(server: MCPServer, responses: Any) -> None:
    assert send(server, GREET, inputResponses=responses)["error"]["code"] == -32602


def test_answers_that_are_too_large_to_carry_are_refused(server: MCPServer) -> None:
    server.core.protocol.settings.max_body_bytes = 10_000_000
    big = {"elicitation-1": accept(name=secrets.token_hex(1_500_000))}
    state = send(server, GREET)["result"]["requestState"]
    answer = send(server, GREET, requestState=state, inputResponses=big)
    assert answer["error"]["code"] == -32602


def test_another_process_with_the_key_goes_on(server: MCPServer) -> None:
    state = send(server, GREET)["result"]["requestState"]
    twin = MCPServer("tests", secret_key="k")

    @twin.tool
    def greet(greeting: str, ctx: SyncContext) -> str:
        answer = ctx.elicit("Your name?", Name)
        return f"{greeting} {answer.data.name}" if answer.data else ""

    responses = {"elicitation-1": accept(name="Ada")}
    result = send(twin, GREET, requestState=state, inputResponses=responses)["result"]
    assert result["content"][0]["text"] == "Hello Ada"


def test_a_session_says_what_its_client_lacks(server: MCPServer) -> None:
    result = Session(server, "2025-11-25").call("careful")
    assert result["content"][0]["text"] == "The client does not support elicitation"


@pytest.mark.parametrize(
    ("action", "is_true"), [("accept", True), ("decline", False), ("cancel", False)]
)
def test_an_answer_is_true_only_if_it_is_accepted(action: str, is_true: bool) -> None:
    server = MCPServer("tests", secret_key="k")

    @server.tool
    def delete(ctx: SyncContext) -> str:
        return "deleted" if ctx.elicit("Delete?", Name) else "kept"

    @server.tool
    async def pay(ctx: Context) -> str:
        return "paid" if await ctx.elicit_url("Pay", "https://pay.example/1") else "not paid"

    capabilities = {"elicitation": {"form": {}, "url": {}}}
    answers = {"elicitation-1": {"action": action, "content": {"name": "Ada"}}}
    for tool, words in (("delete", ("deleted", "kept")), ("pay", ("paid", "not paid"))):
        call = {"name": tool, "arguments": {}}
        first = send(server, call, capabilities=capabilities)["result"]
        state = first["requestState"]
        second = send(
            server, call, capabilities=capabilities, requestState=state, inputResponses=answers
        )
        assert second["result"]["content"][0]["text"] == words[0 if is_true else 1]
