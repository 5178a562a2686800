"""The routes for OpenAI's clients on real web servers: who waits, leaves, or sends too much."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any, NamedTuple

import httpx2
import pytest

from sample_projects.processes import free_port, running
from tests.routes.face_apps import MAX_BODY_BYTES, MAX_OF_HOST, PNG
from tests.upstream import Upstream, until

APPS = "tests.routes.face_apps"
HOSTS = {
    "uvicorn": (f"uvicorn --factory {APPS}:standalone", ""),
    "fastapi": (f"uvicorn --factory {APPS}:mounted", "/mcp"),
    "gunicorn": (f"gunicorn {APPS}:wsgi()", ""),
    "flask": (f"gunicorn {APPS}:flask()", "/mcp"),
    "django-wsgi": (f"gunicorn {APPS}:django()", "/mcp"),
    "django-asgi": (f"uvicorn --factory {APPS}:django", "/mcp"),
}


class Served(NamedTuple):
    """A server, the upstream that it asks, and whether its host has a limit of its own."""

    url: str
    upstream: Upstream
    has_limit: bool


@pytest.fixture(scope="module", params=list(HOSTS))
def served(request: pytest.FixtureRequest, served_upstream: Upstream) -> Iterator[Served]:
    words, path = HOSTS[request.param]
    port = free_port()
    bound = ["--port", str(port)]
    if words.startswith("gunicorn"):
        bound = ["--bind", f"127.0.0.1:{port}", "--threads", "8"]
    command = [sys.executable, "-m", *words.split(), *bound, "--log-level", "error"]
    given = {"INTERFACE": request.param.rpartition("-")[2], "UPSTREAM": served_upstream.url}
    with ExitStack() as stack:
        stack.enter_context(running(command, port, environment=given))
        has_limit = "flask" in words or "django" in words
        yield Served(f"http://127.0.0.1:{port}{path}/v1", served_upstream, has_limit)


def question(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}


def post(url: str, **request: Any) -> httpx2.Response:
    return httpx2.post(url, timeout=30, **request)


def begin_and_leave(
    url: str, body: dict[str, Any], has_begun: Callable[[], bool] = lambda: True
) -> None:
    """Read the first comment of a stream, and leave as soon as something has begun."""
    with httpx2.stream("POST", url, json=body, timeout=30) as answer:
        assert answer.status_code == 200
        # Kept: without it the connection is closed.
        lines = answer.iter_lines()
        assert next(lines) == ": keep-alive"
        asyncio.run(until(has_begun))


def ended(url: str, name: str, counted: str = "ended") -> int:
    body = question(counted)
    body["messages"][0]["content"] = name
    answer = post(f"{url}/chat/completions", json=body).json()
    return int(answer["choices"][0]["message"]["content"])


def test_a_client_that_leaves_before_the_first_piece_ends_the_model(served: Served) -> None:
    url, before = served.url, ended(served.url, "silent")
    begin_and_leave(f"{url}/chat/completions", question("silent", stream=True))
    begin_and_leave(f"{url}/completions", {"model": "silent", "prompt": "x", "stream": True})
    asyncio.run(until(lambda: ended(url, "silent") == before + 2))


@pytest.mark.parametrize("more", [{}, {"user": "me"}], ids=["direct", "usual"])
def test_a_client_that_waits_for_a_whole_answer_and_leaves_ends_the_model(
    served: Served, more: dict[str, Any]
) -> None:
    url, before = served.url, ended(served.url, "silent")
    begun = ended(url, "silent", "begun")
    where = httpx2.URL(f"{url}/chat/completions")
    with closing(HTTPConnection(where.host, where.port)) as client:
        body = json.dumps(question("silent", **more))
        client.request("POST", where.path, body, {"Content-Type": "application/json"})
        asyncio.run(until(lambda: ended(url, "silent", "begun") == begun + 1))
    asyncio.run(until(lambda: ended(url, "silent") == before + 1))


def test_a_client_that_leaves_before_the_first_picture_ends_the_backend(served: Served) -> None:
    url, before = served.url, ended(served.url, "canvas")
    body = {"model": "canvas", "prompt": "x", "stream": True}
    begin_and_leave(f"{url}/images/generations", body)
    asyncio.run(until(lambda: ended(url, "canvas") == before + 1))


def test_a_client_that_leaves_before_the_first_piece_ends_the_request_upstream(
    served: Served,
) -> None:
    upstream = served.upstream
    upstream.reset()
    asked = question("stalled", stream=True)
    begin_and_leave(f"{served.url}/chat/completions", asked, lambda: upstream.open == 1)
    asyncio.run(until(lambda: (upstream.open, upstream.left) == (0, 1)))


def test_a_stream_that_has_begun_without_a_piece_is_as_any_other(served: Served) -> None:
    body = question("slow", stream=True)
    with httpx2.stream("POST", f"{served.url}/chat/completions", json=body, timeout=30) as answer:
        lines = [line for line in answer.iter_lines() if line]
    comments = [line for line in lines if line == ": keep-alive"]
    *chunks, last = [line.removeprefix("data: ") for line in lines if line not in comments]
    assert (len(comments) > 1, last) == (True, "[DONE]")
    deltas = [json.loads(one)["choices"][0]["delta"] for one in chunks]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "at last"}, {}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", question("late", stream=True)),
        ("completions", {"model": "late", "prompt": "x", "stream": True}),
        ("responses", {"model": "late", "input": "x", "stream": True}),
    ],
)
def test_what_fails_after_the_response_has_begun_is_told_as_an_event(
    path: str, body: dict[str, Any], served: Served
) -> None:
    answer = post(f"{served.url}/{path}", json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert ": keep-alive\n\n" in answer.text
    data = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    told = json.loads(data[-1].removeprefix("data: "))
    if path == "responses":
        first = json.loads(data[0].removeprefix("data: "))
        assert (first["type"], told["type"]) == ("response.created", "response.failed")
        told = told["response"]
    assert (told["error"]["message"], told["error"]["code"]) == ("Too late", "late")
    answer = post(f"{served.url}/{path}", json={**body, "stream": False})
    assert answer.status_code == 502, "what is not streamed has its own status however late it is"


def test_an_answer_has_pictures_and_sound(served: Served) -> None:
    url = f"{served.url}/chat/completions"
    whole = post(url, json=question("painter")).json()["choices"][0]["message"]
    encoded = base64.b64encode(PNG).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}
    assert (whole["content"], whole["images"]) == ("Look: ", [{**image, "index": 0}])
    assert base64.b64decode(whole["audio"]["data"]) == b"sound"
    lines = post(url, json=question("painter", stream=True)).text.split("\n\n")
    chunks = [json.loads(one.removeprefix("data: ")) for one in lines if one.startswith("data: {")]
    deltas = [one["choices"][0]["delta"] for one in chunks]
    assert [one["images"] for one in deltas if "images" in one] == [[{**image, "index": 0}]]
    assert [one["audio"]["data"] for one in deltas if "audio" in one] == ["c291bmQ="]


def test_streamed_pictures_are_drawn_together(served: Served) -> None:
    body = {"model": "pair", "prompt": "x", "n": 2, "stream": True, "partial_images": 1}
    text = post(f"{served.url}/images/generations", json=body).text
    kinds = [one.partition(".")[2] for one in text.splitlines() if one.startswith("event: ")]
    assert kinds == ["partial_image", "completed"] * 2


@pytest.mark.parametrize(("name", "end"), [("steps", "failed"), ("plain_steps", "completed")])
def test_clients_see_how_far_tools_of_the_server_are(name: str, end: str, served: Served) -> None:
    body = question("clerk", stream=True)
    body["messages"][0]["content"] = name
    lines = post(f"{served.url}/chat/completions", json=body).text.split("\n\n")
    chunks = [json.loads(one.removeprefix("data: ")) for one in lines if one.startswith("data: {")]
    told = [one["tool_progress"] for one in chunks if "tool_progress" in one]
    assert [(one["status"], one.get("message")) for one in told] == [
        ("in_progress", None),
        ("in_progress", "step 1"),
        ("in_progress", "step 2"),
        (end, None),
    ]
    deltas = [one["choices"][0]["delta"] for one in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [one for one in deltas if one] == [deltas[0], {"content": "done"}]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("ended", MAX_BODY_BYTES),
        ("small", 2_000),
        ("raised", 40_000),
        ("lifted", MAX_BODY_BYTES),
        ("most", 60_000),
    ],
)
def test_the_nearest_limit_of_a_body_holds(
    model: str, limit: int, chunked: bool, served: Served
) -> None:
    for size, status in ((limit, 200), (limit + 1, 413), (90_000, 413)):
        body = json.dumps(question(model, user="")).replace('"user": ""', '"user": "%s"')
        content = (body % ("x" * (size - len(body) + 2))).encode()
        assert len(content) == size
        answer = post(
            f"{served.url}/chat/completions",
            content=iter([content]) if chunked else content,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("as_form", [False, True])
def test_a_router_for_images_takes_more_than_its_server_and_no_more_than_its_host(
    as_form: bool, served: Served
) -> None:
    at_host = 413 if served.has_limit else 200
    for size, status in ((50_000, 200), (100_000, at_host), (250_000, 413)):
        picture = PNG + b"x" * size
        given: dict[str, Any] = {
            "data": {"prompt": "x"},
            "files": [("image", ("a.png", picture, "image/png"))],
        }
        if not as_form:
            encoded = base64.b64encode(picture[: size * 3 // 4]).decode()
            given = {"json": {"prompt": "x", "image": f"data:image/png;base64,{encoded}"}}
        answer = post(f"{served.url}/images/edits", **given)
        assert answer.status_code == status, answer.text
        if status == 413:
            limit = MAX_OF_HOST if served.has_limit else 200_000
            error = answer.json()["error"]
            assert error["message"].startswith(f"The body exceeds {limit} bytes")
            assert error["code"] == "request_too_large"


def test_messages_keep_the_limit_of_the_server(served: Served) -> None:
    url = served.url.removesuffix("/v1")
    url = url if url.endswith("/mcp") else f"{url}/mcp"
    headers = {"content-type": "application/json", "accept": "application/json"}
    answer = post(url, content=b"x" * (MAX_BODY_BYTES + 1), headers=headers)
    assert answer.status_code == 413
