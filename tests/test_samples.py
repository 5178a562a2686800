"""The sample projects, deployed as their READMEs say: pages, logins, tools; and the demo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest

from sample_projects.demo import call_tools
from sample_projects.processes import ROOT
from sample_projects.samples import SAMPLES

BY_NAME = {sample.name: sample for sample in SAMPLES}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The base URL of each sample project."""
    folder = tmp_path_factory.mktemp("samples")
    with ExitStack() as stack:
        started: dict[str, str] = {}
        for sample in SAMPLES:
            sample.make_database(folder, os.environ)
            url = stack.enter_context(sample.serve(folder))
            started[sample.name] = url.removesuffix("/mcp")
        yield started


@pytest.mark.parametrize("name", BY_NAME)
def test_the_tools_of_a_sample_work_with_and_without_sessions(
    urls: dict[str, str], name: str
) -> None:
    lines = anyio.run(call_tools, BY_NAME[name], urls[name] + "/mcp")
    assert [good for _, good in lines] == [True, True], lines
    assert [line[:10] for line, _ in lines] == ["2026-07-28", "2025-11-25"]


@pytest.mark.parametrize("name", BY_NAME)
def test_a_sample_has_a_readme(name: str) -> None:
    assert (ROOT / "sample_projects" / name / "README.md").read_text().startswith(f"# {name}\n")


def test_the_shop_shows_its_products_and_after_a_login_the_orders(urls: dict[str, str]) -> None:
    url = urls["django_shop"]
    with httpx2.Client(follow_redirects=True) as client:
        assert "Enamel mug" in client.get(url).text
        form = client.get(f"{url}/login/").text
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[0]
        fields = {"csrfmiddlewaretoken": token, "username": "demo", "password": "demo"}
        page = client.post(f"{url}/login/", data=fields, headers={"referer": f"{url}/login/"})
        assert "Hello, demo" in page.text


@pytest.mark.parametrize(
    ("server", "target"),
    [("gunicorn", "config.wsgi"), ("uvicorn", "config.asgi:application")],
)
def test_the_assistant_of_the_shop_knows_what_its_user_may_know(
    server: str, target: str, tmp_path: Path
) -> None:
    sample = replace(BY_NAME["django_shop"], server=server, target=target)
    sample.make_database(tmp_path, os.environ)
    with sample.serve(tmp_path) as url:
        # It places an order.
        anyio.run(call_tools, sample, url)
        for user, knows in (("", False), ("guest", False), ("clerk", True), ("demo", True)):
            with httpx2.Client(base_url=url.removesuffix("/mcp")) as client:
                if user:
                    form = client.get("/login/").text
                    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[0]
                    fields = {"csrfmiddlewaretoken": token, "username": user, "password": user}
                    assert client.post("/login/", data=fields).status_code == 302
                assert "Green tea" in _said(client, 'call search_products {"query": "tea"}')
                order = "1 x MUG-01 for demo"
                assert (order in _said(client, 'call orders {"customer": "demo"}')) is knows
                # It is none of the assistant's tools.
                words = "call place_order {}"
                assert _said(client, words) == f"(stand-in model) You said: {words}"


def _said(client: httpx2.Client, text: str) -> str:
    body = {"messages": [{"role": "user", "content": text}]}
    headers = {"X-CSRFToken": client.cookies.get("csrftoken", "")}
    answer = client.post("/mcp/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said


def test_the_helpdesk_shows_its_tickets_after_a_login(urls: dict[str, str]) -> None:
    url = urls["flask_helpdesk"]
    with httpx2.Client(follow_redirects=True) as client:
        assert "Log in" in client.get(url).text
        wrong = client.post(f"{url}/login", data={"name": "demo", "password": "x"})
        assert "Wrong name or password" in wrong.text
        page = client.post(f"{url}/login", data={"name": "demo", "password": "demo"})
        assert "VPN drops every hour" in page.text


def test_the_weather_service_keeps_its_own_api(urls: dict[str, str]) -> None:
    url = urls["fastapi_weather"]
    assert "Oslo" in httpx2.get(url).text
    assert httpx2.get(f"{url}/stations/OSL").json()["city"] == "Oslo"
    assert list(httpx2.get(f"{url}/openapi.json").json()["paths"]) == [
        "/stations",
        "/stations/{code}",
    ]
    assert httpx2.post(f"{url}/mcp/tools/weather", json={"station": "LIS"}).json()["hour"] == 12


def test_the_notebook_has_all_its_faces(urls: dict[str, str]) -> None:
    url = urls["standalone"]
    assert "Notebook" in httpx2.get(url).text
    assert httpx2.get(f"{url}/health").json() == {"status": "alive"}
    assert httpx2.get(f"{url}/docs").status_code == 200
    assert len(httpx2.get(f"{url}/tools").json()) == 3
    question = {"messages": [{"role": "user", "content": "Good morning"}]}
    chat = httpx2.post(f"{url}/v1/chat/completions", json=question).json()
    assert chat["choices"][0]["message"]["content"] == "Good morning "
    answered = {
        httpx2.post(f"{url}/v1/chat/completions", json={**question, "model": "smart"}).json()[
            "model"
        ]
        for _ in range(4)
    }
    assert answered == {"north", "south"}
    httpx2.post(f"{url}/tools/write_note", json={"text": "Buy milk"})
    asked = {"role": "user", "content": 'call notes {"containing": "milk"}'}
    looked_up = {"model": "secretary", "messages": [asked]}
    chat = httpx2.post(f"{url}/v1/chat/completions", json=looked_up).json()
    assert "Buy milk" in chat["choices"][0]["message"]["content"]
    drawn = httpx2.post(f"{url}/v1/images/generations", json={"prompt": "x", "size": "32x32"})
    assert drawn.json()["data"][0]["b64_json"]


def test_the_demo_stops_by_itself_and_says_how_it_went(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sample_projects.demo", "--once"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "demo: 8 passed, 0 failed" in done.stdout
    assert '"mcpServers"' in done.stdout
