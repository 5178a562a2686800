"""Code of others: Django's polls and REST framework's snippets, mounted as the docs say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from sample_projects.processes import PYTHONPATH, ROOT, free_port, running

APPLICATIONS = "tests.mcp_mount_django.tutorials.applications"
SERVERS = {
    "gthread": lambda port: [
        *("gunicorn", f"{APPLICATIONS}:wsgi()", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--threads", "8", "--no-control-socket"),
        *("--log-level", "warning"),
    ],
    "uvicorn": lambda port: [
        *("uvicorn", "--factory", f"{APPLICATIONS}:asgi", "--port", str(port)),
        *("--log-level", "warning"),
    ],
}


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the project, with a database of its own."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    environment = {
        "TUTORIALS_DATABASE": str(folder / "db.sqlite3"),
        "PYTHONPATH": PYTHONPATH,
    }
    subprocess.run(
        [sys.executable, "-m", APPLICATIONS], cwd=ROOT, env=environment, check=True, timeout=300
    )
    port = free_port()
    words = [sys.executable, "-m", *SERVERS[request.param](port)]
    with ExitStack() as stack:
        stack.enter_context(running(words, port, environment=environment))
        yield f"http://127.0.0.1:{port}"


Call = Callable[..., Any]


@pytest.fixture(params=["auto", "legacy"])
def call(request: pytest.FixtureRequest, url: str) -> Call:
    """Call a tool by the official client, as one of the users; the result."""

    def call(tool: str, user: str | None = None, **arguments: Any) -> Any:
        headers = {"authorization": f"Token token-of-{user}"} if user else {}

        async def session() -> Any:
            with anyio.fail_after(20):
                async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
                    transport = streamable_http_client(f"{url}/mcp", http_client=http)
                    async with Client(transport, mode=request.param) as client:
                        if tool == "list":
                            return (await client.list_tools()).tools
                        return await client.call_tool(tool, arguments)

        return anyio.run(session)

    return call


def test_the_tools_are_those_of_the_views(call: Call) -> None:
    assert [tool.name for tool in call("list")] == [
        "find_questions",
        "get_question",
        "find_choices",
        "get_choice",
        "latest_questions",
        "vote",
        "results",
        "mine",
        "echo",
        "list_snippets",
        "create_snippet",
        "get_snippet",
        "update_snippet",
        "delete_snippet",
        "snippet_highlight",
        "list_users",
        "get_user",
        "list_authors",
        "get_snippet_count",
        "get_rare",
        "author",
    ]


def test_a_coroutine_of_django_ninja_is_called_at_its_url(call: Call) -> None:
    found = call("author", name="ada").structured_content
    assert found == {"name": "ada", "path": "/ninja/authors/ada"}


def test_the_schema_is_that_of_the_serializer(call: Call) -> None:
    tools = {tool.name: tool for tool in call("list")}
    create = tools["create_snippet"].input_schema
    assert create["required"] == ["code"]
    assert list(create["properties"]) == ["title", "code", "linenos", "language", "style"]
    assert create["properties"]["title"] == {"type": "string", "maxLength": 100}
    assert create["properties"]["language"]["enum"] == ["python", "html", "sql"]
    update = tools["update_snippet"].input_schema
    assert update["required"] == ["pk"]
    assert update["properties"]["pk"]["type"] == "integer"
    assert list(tools["list_snippets"].input_schema["properties"]) == ["page"]
    assert tools["get_snippet"].annotations.read_only_hint is True
    assert tools["delete_snippet"].annotations.destructive_hint is True


def test_snippets_are_made_changed_and_shown_with_their_permissions(call: Call, url: str) -> None:
    refused = call("create_snippet", code="x = 1")
    assert refused.is_error
    assert "Authentication credentials were not provided" in refused.content[0].text
    made = call("create_snippet", "ada", code="x = 1", title="one").structured_content
    assert made["owner"] == "ada"
    assert made["url"] == f"{url}/snippets/{made['id']}/"
    assert call("get_snippet", pk=made["id"]).structured_content["code"] == "x = 1"
    theirs = call("update_snippet", "bob", pk=made["id"], code="y = 2")
    assert theirs.is_error
    assert "You do not have permission" in theirs.content[0].text
    changed = call("update_snippet", "ada", pk=made["id"], language="sql")
    assert changed.structured_content["language"] == "sql"
    wrong = call("update_snippet", "ada", pk=made["id"], language="cobol")
    assert wrong.content[0].text == 'language: "cobol" is not a valid choice.'
    assert "<html>" in call("snippet_highlight", pk=made["id"]).content[0].text.lower()
    listed = call("list_snippets").structured_content
    assert listed["count"] == len(listed["results"]) >= 1
    assert httpx2.get(f"{url}/snippets/{made['id']}/").json()["title"] == "one"
    assert call("delete_snippet", "ada", pk=made["id"]).content[0].text == "Done"
    gone = call("get_snippet", pk=made["id"])
    assert gone.content[0].text == "No Snippet matches the given query."
    assert call("get_snippet_count").structured_content == {"count": 0}


def test_arguments_that_are_none_are_named(call: Call) -> None:
    wrong = call("create_snippet", "ada", code="x", colour="red")
    assert wrong.is_error
    assert "colour: unknown argument" in wrong.content[0].text
    missing = call("update_snippet", "ada", title="x")
    assert "pk: missing, but required" in missing.content[0].text
    invalid = call("create_snippet", "ada", title="x")
    assert invalid.content[0].text == "code: This field is required."


def test_users_are_read_only(call: Call) -> None:
    listed = call("list_users").structured_content
    assert [user["username"] for user in listed["results"]] == ["ada", "bob"]
    assert call("get_user", pk=1).structured_content["username"] == "ada"
    assert call("list_authors").structured_content["count"] == 2


def test_a_throttle_of_the_view_holds(call: Call) -> None:
    call("get_rare", "ada")
    again = call("get_rare", "ada")
    assert again.is_error
    assert again.content[0].text.startswith("Request was throttled. Expected available in")


def test_polls_are_found_voted_and_counted(call: Call, url: str) -> None:
    found = call("find_questions", search="new").structured_content
    [question] = found["items"]
    assert question["question_text"] == "What's new?"
    assert (found["total"], found["page"], found["pages"]) == (1, 1, 1)
    choices = call("find_choices", question=question["pk"]).structured_content["items"]
    assert [one["choice_text"] for one in choices] == ["Not much", "The sky"]
    assert choices[0]["question__question_text"] == "What's new?"
    before = call("results", question_id=question["pk"]).structured_content
    voted = call("vote", question_id=question["pk"], choice=choices[1]["pk"])
    assert voted.content[0].text == f"Done; see /polls/{question['pk']}/results/"
    after = call("results", question_id=question["pk"]).structured_content
    assert after == {**before, "The sky": before["The sky"] + 1}
    page = httpx2.get(f"{url}/polls/{question['pk']}/results/").text
    assert f"The sky: {after['The sky']}" in page
    assert "What&#x27;s new?" in call("latest_questions").content[0].text


def test_a_view_says_what_is_wrong(call: Call) -> None:
    unknown = call("vote", question_id=99, choice=1)
    assert unknown.is_error
    assert unknown.content[0].text == "No Question matches the given query."
    unselected = call("vote", question_id=1, choice=99)
    assert "You didn&#x27;t select a choice." in unselected.content[0].text
    assert call("get_question", pk=99).content[0].text == "There is no question 99."


def test_a_view_with_a_login_wants_one(call: Call) -> None:
    assert call("mine").content[0].text == "Authentication required"
    assert call("mine", "ada").structured_content == {"user": "ada"}


def test_a_coroutine_view_is_called(call: Call) -> None:
    answer = call("echo", words="für alle", more=[1, 2]).structured_content
    assert answer == {"words": "für alle", "again": ["1", "2"]}
