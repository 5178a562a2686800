"""What waits for clients under WSGI leaves threads to those who do not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.load import command
from tests.requests import JSON_HEADERS, initialize, message, session_headers, stateless

APPS = "tests.integrations.web_server_apps"


@pytest.fixture(scope="module", params=["flask", "django"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of an application under gunicorn with 16 threads."""
    port = free_port()
    with running(command("gthread", f"{APPS}:{request.param}", port), port):
        yield f"http://127.0.0.1:{port}"


def session(url: str) -> dict[str, str]:
    """The headers of a new session, whose client can be asked."""
    content = initialize(capabilities={"elicitation": {}})
    opened = httpx2.post(f"{url}/mcp", headers=JSON_HEADERS, content=content, timeout=20)
    return session_headers(opened.headers["mcp-session-id"])


@pytest.mark.parametrize("tool", ["ask", "ask_async"])
def test_questions_without_an_answer_leave_threads_to_others(url: str, tool: str) -> None:
    headers = session(url)
    questions: list[Any] = []
    refusals: list[str] = []
    told = threading.Semaphore(0)

    def ask(number: int, client: httpx2.Client) -> None:
        body = json.dumps(message("tools/call", {"name": tool, "arguments": {}}, number))
        try:
            with client.stream("POST", f"{url}/mcp", headers=headers, content=body) as response:
                if not response.headers["content-type"].startswith("text/event-stream"):
                    response.read()
                    refusals.append(response.json()["result"]["content"][0]["text"])
                    told.release()
                    return
                for line in response.iter_lines():
                    if not line.startswith("data: {"):
                        continue
                    event = json.loads(line[6:])
                    if event.get("method") == "elicitation/create":
                        questions.append(event["id"])
                        told.release()
                    elif event["result"].get("isError"):
                        refusals.append(event["result"]["content"][0]["text"])
                        told.release()
        except httpx2.HTTPError:
            pass

    with ExitStack() as stack:
        for number in range(16):
            client = stack.enter_context(httpx2.Client(timeout=60))
            threading.Thread(target=ask, args=(number, client), daemon=True).start()
        for _ in range(16):
            assert told.acquire(timeout=20)
        assert (len(questions), len(refusals)) == (4, 12)
        assert "waiting for answers" in refusals[0]
        assert httpx2.get(f"{url}/page", timeout=20).text == "page"
        for question in questions:
            answer = {"action": "accept", "content": {"name": "red"}}
            response = {"jsonrpc": "2.0", "id": question, "result": answer}
            posted = httpx2.post(f"{url}/mcp", headers=headers, json=response, timeout=20)
            assert posted.status_code == 202


def test_a_question_takes_the_place_of_the_oldest_subscription(url: str) -> None:
    listen, wanted = stateless(
        "subscriptions/listen", {"notifications": {"toolsListChanged": True}}
    )
    headers = session(url)
    with httpx2.Client(timeout=60) as client, ExitStack() as stack:
        streams = []
        for _ in range(4):
            stream = client.stream("POST", f"{url}/mcp", headers=listen, content=wanted)
            lines = stack.enter_context(stream).iter_lines()
            assert "acknowledged" in next(line for line in lines if line.startswith("data:"))
            streams.append(lines)
        call = json.dumps(message("tools/call", {"name": "ask", "arguments": {}}, 1))
        with client.stream("POST", f"{url}/mcp", headers=headers, content=call) as response:
            events = (json.loads(one[6:]) for one in response.iter_lines() if one[:7] == "data: {")
            question = next(events)
            assert question["method"] == "elicitation/create"
            result = {"action": "accept", "content": {"name": "red"}}
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": result}
            assert client.post(f"{url}/mcp", headers=headers, json=answer).status_code == 202
            assert next(events)["result"]["content"][0]["text"] == "red"
        # It ends as at a shutdown, with its result.
        assert '"result"' in "".join(streams[0])
