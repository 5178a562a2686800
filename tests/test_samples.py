"""The sample projects, deployed as their READMEs say: pages, logins, tools; and the demo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client

from sample_projects.demo import call_tools
from sample_projects.processes import ROOT, Together
from sample_projects.samples import SAMPLES
from tests.auth.authorization.people import Browser, SigningIn
from tests.auth.oauth import connected

BY_NAME = {sample.name: sample for sample in SAMPLES}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The base URL of each sample project."""
    folder = tmp_path_factory.mktemp("samples")
    with Together() as stack:
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


class SampleBrowser(Browser):
    """A browser whose person knows the login pages of the samples."""

    def log_in(self, url: str, page: httpx2.Response) -> httpx2.Response:
        fields = {"username": self.user, "name": self.user, "password": self.user}
        fields |= dict(re.findall(r'name="(csrfmiddlewaretoken)" value="(\w+)"', page.text))
        return self.http.post(url, data=fields, headers={"referer": url})


@contextmanager
def signing_in(user: str, url: str) -> Iterator[SigningIn]:
    person = SigningIn(user, url)
    person.browser.http.close()
    person.browser = SampleBrowser(user, url)
    try:
        yield person
    finally:
        person.browser.http.close()


PAGES = {
    "django_shop": ("/login/", "/assistants/"),
    "flask_helpdesk": ("/login", "/mcp/assistants/"),
    "fastapi_weather": ("/login", "/mcp/assistants/"),
}
"""The login page, and that of the connected assistants."""


@pytest.mark.parametrize(
    ("name", "tool", "arguments", "said", "scope"),
    [
        ("django_shop", "my_orders", {}, "1 x TEA-07 for demo", "orders:read"),
        ("flask_helpdesk", "answer", {"ticket": 3, "body": "Yes"}, '"waiting"', "tickets:answer"),
        ("fastapi_weather", "keep_station", {"station": "NBO"}, "NBO is kept.", "stations:keep"),
    ],
)
def test_a_person_connects_an_assistant_with_their_account(
    urls: dict[str, str], name: str, tool: str, arguments: dict[str, object], said: str, scope: str
) -> None:
    async def calls(person: SigningIn) -> tuple[str, int]:
        async with connected(urls[name] + "/mcp", person) as client:
            if name == "django_shop":
                await client.call_tool("place_order", {"sku": "TEA-07", "customer": "demo"})
            assert tool in [one.name for one in (await client.list_tools()).tools]
            before = len(person.visited)
            return (await client.call_tool(tool, arguments)).content[0].text, before

    with signing_in("demo", urls[name]) as person:
        text, before = anyio.run(calls, person)
        page = person.browser.http.get(urls[name] + PAGES[name][1])
    assert said in text
    # Nobody signs in before it is needed, and then for what is needed.
    assert (before, person.scopes()) == (0, [scope])
    assert "<strong>tests</strong>" in page.text


def test_an_order_is_cancelled_by_its_own_person_only(urls: dict[str, str]) -> None:
    url = urls["django_shop"]

    async def calls() -> list[str]:
        wanted = {"sku": "SPN-11", "customer": "demo"}
        async with Client(url + "/mcp") as client:
            made = (await client.call_tool("place_order", wanted)).structured_content
        assert made is not None
        said = []
        for user in ("guest", "demo"):
            with signing_in(user, url) as person:
                async with connected(url + "/mcp", person) as client:
                    done = await client.call_tool("cancel_order", {"number": made["order"]})
            said.append(done.content[0].text)
        return said

    guest, demo = anyio.run(calls)
    assert guest.startswith("You have no order")
    assert demo == "Cancelled: 1 x SPN-11 for demo"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("wanted", "is_own"),
    [
        ("/mcp/assistants/?a=b", True),
        ("https://evil.example/", False),
        ("//evil.example/", False),
        ("/\\evil.example/", False),
        ("\\\\evil.example/", False),
        ("/\t/evil.example/", False),
        ("\t//evil.example/", False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_a_login_page_leads_back_within_the_sample_only(
    urls: dict[str, str], name: str, wanted: str, is_own: bool
) -> None:
    with httpx2.Client() as client:
        page = httpx2.URL(urls[name] + PAGES[name][0], params={"next": wanted})
        form = client.get(page).text
        fields = {"username": "demo", "name": "demo", "password": "demo"}
        fields |= dict(re.findall(r'name="(csrfmiddlewaretoken)" value="(\w+)"', form))
        done = client.post(page, data=fields, headers={"referer": str(page)})
    assert done.headers["location"] == (wanted if is_own else "/")


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
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "demo: 8 passed, 0 failed" in done.stdout
    assert '"mcpServers"' in done.stdout
