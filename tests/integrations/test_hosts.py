"""The same server in every kind of host: real server processes, the official client."""

from __future__ import annotations

import base64
from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
from mcp import Client

from tests.requests import initialize, message, session_headers, stateless

TIMEOUT = 60


def run(function: Any, *arguments: Any) -> Any:
    async def limited() -> Any:
        with anyio.fail_after(TIMEOUT):
            return await function(*arguments)

    return anyio.run(limited)


def test_the_official_client_lists_and_calls_tools(host_url: str, mode: str) -> None:
    async def session() -> None:
        async with Client(f"{host_url}/mcp", mode=mode) as client:
            tools = await client.list_tools()
            assert tools.tools[0].name == "test_simple_text"
            result = await client.call_tool("test_simple_text", {})
            assert result.content[0].text == "This is a simple text response for testing."
            image = await client.call_tool("test_image_content", {})
            assert base64.b64decode(image.content[0].data).startswith(b"\x89PNG")
            failed = await client.call_tool("test_error_handling", {})
            assert failed.is_error
            assert failed.content[0].text == "This tool intentionally returns an error for testing"

    run(session)


def test_progress_arrives_while_a_plain_function_runs(host_url: str, mode: str) -> None:
    async def session() -> list[tuple[float, float]]:
        heard: list[tuple[float, float]] = []

        async def hear(progress: float, total: float | None, text: str | None) -> None:
            heard.append((progress, anyio.current_time()))

        async with Client(f"{host_url}/mcp", mode=mode) as client:
            await client.call_tool("test_tool_with_progress", {}, progress_callback=hear)
        return heard

    heard = run(session)
    assert [progress for progress, _ in heard] == [0, 50, 100]
    # The tool sleeps between its reports: they came one by one, not all at the end.
    assert heard[2][1] - heard[0][1] > 0.05


@pytest.mark.parametrize("tool", ["test_elicitation", "test_input_required_result_multi_round"])
def test_a_plain_function_asks_the_person(host_url: str, mode: str, tool: str) -> None:
    async def answer(context: Any, params: Any) -> mcp_types.ElicitResult:
        known = {"username": "ada", "email": "ada@example.org", "name": "Ada", "color": "red"}
        content = {key: known[key] for key in params.requested_schema["properties"]}
        return mcp_types.ElicitResult(action="accept", content=content)

    async def session() -> str:
        url = f"{host_url}/mcp"
        arguments = {"message": "Who are you?"} if tool == "test_elicitation" else {}
        async with Client(url, mode=mode, elicitation_callback=answer) as client:
            result = await client.call_tool(tool, arguments)
            return str(result.content[0].text)

    text = run(session)
    assert "'username': 'ada'" in text or "'name': 'Ada'" in text


def test_the_official_client_reads_resources(host_url: str, mode: str) -> None:
    async def session() -> None:
        async with Client(f"{host_url}/mcp", mode=mode) as client:
            listed = await client.list_resources()
            assert [str(one.uri) for one in listed.resources] == [
                "test://static-text",
                "test://static-binary",
                "test://watched-resource",
            ]
            templates = await client.list_resource_templates()
            assert [one.uri_template for one in templates.resource_templates] == [
                "test://template/{id}/data"
            ]
            [text] = (await client.read_resource("test://template/7/data")).contents
            assert text.text == '{"id":"7","templateTest":true,"data":"Data for ID: 7"}'
            [blob] = (await client.read_resource("test://static-binary")).contents
            assert base64.b64decode(blob.blob).startswith(b"\x89PNG")

    run(session)


def test_prompts_and_completion(host_url: str, mode: str) -> None:
    async def session() -> None:
        async with Client(f"{host_url}/mcp", mode=mode) as client:
            prompt = await client.get_prompt(
                "test_prompt_with_arguments", {"arg1": "one", "arg2": "two"}
            )
            assert prompt.messages[0].content.text == (
                "Prompt with arguments: arg1='one', arg2='two'"
            )
            reference = mcp_types.PromptReference(
                type="ref/prompt", name="test_prompt_with_arguments"
            )
            completed = await client.complete(reference, {"name": "arg1", "value": "par"})
            assert completed.completion.values == ["paris", "park", "party"]

    run(session)


def test_a_mounted_server_answers_without_redirect(host_url: str) -> None:
    headers, body = stateless("tools/list")
    for path in ("/mcp", "/mcp/"):
        response = httpx2.post(host_url + path, headers=headers, content=body)
        assert (path, response.status_code) == (path, 200)
        assert response.json()["result"]["tools"]


def test_nothing_answers_below_the_mount_point_but_its_routes(host_url: str) -> None:
    headers, body = stateless("tools/list")
    response = httpx2.post(f"{host_url}/mcp/mcp/mcp", headers=headers, content=body)
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["%C3%BC", "%E6%97%A5", "%FF%FE", "a%2F..%2Fb", "%00"])
def test_an_odd_path_below_the_mount_point_is_not_found(host_url: str, path: str) -> None:
    response = httpx2.get(f"{host_url}/mcp/{path}")
    assert response.status_code in (400, 404)


def test_a_session_belongs_to_its_token_and_ends_by_delete(host_url: str) -> None:
    url = f"{host_url}/mcp"
    with httpx2.Client() as client:
        opened = client.post(
            url,
            headers={"content-type": "application/json", "accept": "*/*"},
            content=initialize(),
        )
        session = opened.headers["mcp-session-id"]
        assert opened.json()["result"]["protocolVersion"] == "2025-11-25"
        headers = session_headers(session)
        assert client.post(url, headers=headers, json=message("ping")).json()["result"] == {}
        assert client.delete(url, headers=headers).status_code == 204
        assert client.post(url, headers=headers, json=message("ping")).status_code == 404
        forged = session_headers(session[:-4] + "AAAA")
        assert client.post(url, headers=forged, json=message("ping")).status_code == 404
