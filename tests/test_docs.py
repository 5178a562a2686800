"""The documentation: its examples run, its snippets are short, its links lead somewhere."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.testclient import TestClient

from mcp_mount import MCPServer
from mcp_mount.options import OPTIONS
from mcp_mount.testing import Client, RPCError, ToolResult
from tests.requests import Session, ask, call

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_HOME = "https://github.com/mcp-mount/mcp-mount/blob/main/"
"""Where the links of the README lead, which the package index shows as well."""

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    return _BLOCK.findall(page.read_text())


def execute(code: str, **names: Any) -> dict[str, Any]:
    names["__name__"] = "example"
    exec(compile(code, "example", "exec", dont_inherit=True), names)
    return names


def test_the_examples_of_the_tools_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "tools.md"):
        names = execute(block, **names)
    server = names["server"]
    assert call(server, "find_books", {"author": "Austen"})["structuredContent"] == {
        "result": [{"title": "Sense and Sensibility", "year": 1811}]
    }
    assert call(server, "find_books", {"author": "Anonymous"})["isError"] is True
    assert call(server, "find_books", {"author": "A"})["isError"] is True
    session = Session(server, "2025-11-25")
    refused = session.call("discard", {"year": 1811})
    assert "does not support elicitation" in refused["content"][0]["text"]


def test_the_examples_of_the_models_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "models.md"):
        names = execute(block, **names)
    client = TestClient(names["server"], base_url="http://localhost")
    asked = {"messages": [{"role": "user", "content": "hi"}]}

    def said(model: str, **more: Any) -> Any:
        body = {**asked, "model": model, **more}
        return client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]

    assert said("gpt-4o-mini")["content"] == "hi"
    assert said("careful")["reasoning"] == "The user wants a short answer."
    assert said("artist")["images"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert said("clerk")["content"] == "hi"
    called = {"role": "user", "content": 'call order_status {"number": 7}'}
    told = 'The tool has answered: {"result": "Order 7 is on its way"}'
    assert said("si", messages=[called])["content"] == told
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    assert said("careful", tools=tools)["tool_calls"][0]["function"]["name"] == "look_up"
    assert Client(names["server"]).call_tool("mood", {"text": "x"}).text.endswith("x")


def test_the_examples_of_the_images_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "images.md"):
        names = execute(block, **names)
    client = TestClient(names["server"], base_url="http://localhost")

    def drawn(model: str, prompt: str = "a cat", **more: Any) -> Any:
        body = {"prompt": prompt, "model": model, **more}
        return client.post("/v1/images/generations", json=body)

    assert drawn("gpt-image-1", size="16x16", response_format="url").json()["data"][0]["url"]
    assert drawn("painter", "my secret").json()["error"]["message"] == "This is not painted here"
    streamed = drawn("painter", stream=True, partial_images=2).text
    assert streamed.count("image_generation.partial_image") == 2
    assert drawn("figures", chart={"values": [1, 2]}).status_code == 200
    # It is there, and its upstream is not asked.
    assert "at most 2048x2048" in drawn("gpt-image", size="4096x16").json()["error"]["message"]


def test_the_examples_of_the_resources_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "resources.md"):
        names = execute(block, **names)
    server = names["server"]
    uri = "library://shelves/A/7?language=fr"
    [content] = ask(server, "resources/read", {"uri": uri})["result"]["contents"]
    assert content["text"] == '{"title":"A7","language":"fr"}'
    prompt = ask(server, "prompts/get", {"name": "recommend", "arguments": {"genre": "crime"}})
    assert [one["role"] for one in prompt["result"]["messages"]] == ["user", "assistant"]
    reference = {"type": "ref/prompt", "name": "recommend"}
    argument = {"name": "genre", "value": "c"}
    completed = ask(server, "completion/complete", {"ref": reference, "argument": argument})
    assert completed["result"]["completion"]["values"] == ["crime", "comedy"]


def test_the_examples_of_the_page_of_existing_endpoints_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "existing-endpoints.md"):
        names = execute(block, **names)
    with Client(names["api"]) as client:
        assert client.call_tool("show_order", {"number": 7}).structured == {"number": 7}
        receipt = {"number": 7, "file": "data:text/plain;name=a.txt;base64,aGk="}
        assert client.call_tool("attach_receipt", receipt).text == "a.txt: 2 bytes"
    with Client(names["app"]) as client:
        assert client.call_tool("show_order", {"number": 8}).structured == {"number": 8}
    with Client(names["checked"]) as client:
        refused = client.call_tool("show_order", {"number": 1001})
        assert (refused.is_error, refused.text) == (True, "There is no order 1001")
    with Client(names["pets"]) as client:
        assert client.call_tool("get_pet", {"id": "a"}).structured == {"path": "/v1/pets/a"}


def test_the_examples_of_the_policies_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "policies.md"):
        names = execute(block, **names)
    server, ledger = names["server"], names["ledger"]
    with Client(server) as client:
        assert client.call_tool("total", {"skus": ["a", "b"]}).data == 500
        assert client.call_tool("price_in_words", {"sku": " a "}).text == "250 cents"
        assert client.call_tool("order_lines", {"number": 2000}).text == "There is no order 2000"
        assert client.call_tool("ship_order", {"number": 7}).text == "Shipped"
    with Client(server, headers={"x-load": "high"}) as client:
        assert client.call_tool("search_orders", {"text": "pen"}).data == []
    outcomes = [outcome for _, name, outcome in ledger if name == "order_lines"]
    assert outcomes == ["tool_error"]


def test_the_examples_of_the_security_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "security.md"):
        names = execute(block, **names)
    assert list(names["server"].registry.tools) == ["cancel_order", "close_shop"]
    names["server"].configure(auth=names["keys"], scopes=None)
    with Client(
        names["server"], headers={"x-api-key": "a-long-secret-from-the-environment"}
    ) as own:
        assert own.list_tools() == []


def test_the_examples_of_the_page_of_signing_in_run() -> None:
    examples = map(execute, blocks(ROOT / "docs" / "signing-in.md"))
    with_login, by_hand, fastapi, way_back, nightly, company = examples
    with_login["manager"].user_loader(lambda id: None)
    for names in (with_login, by_hand):
        # The user loader and the login view are the reader's own.
        names["app"].add_url_rule("/login", "login", lambda: "")
        names["app"].config["TRUSTED_HOSTS"] = ["localhost"]
        answer = names["app"].test_client().get("/mcp/assistants/", base_url="http://localhost")
        assert answer.headers["location"] == "/login?next=%2Fmcp%2Fassistants%2F"
    with TestClient(fastapi["app"], base_url="http://localhost") as client:
        answer = client.get("/mcp/assistants/", follow_redirects=False)
        assert answer.headers["location"] == "/login?next=%2Fmcp%2Fassistants%2F"
    assert way_back["way_back"]("/mcp/assistants/?a=b") == "/mcp/assistants/?a=b"
    for other in ("//evil.example", "/\\evil.example", "/\t/evil.example", "https://a.b", ""):
        assert way_back["way_back"](other) == "/"
    nightly["server"].configure(allowed_hosts=["localhost"])
    with TestClient(nightly["server"], base_url="http://localhost") as client:
        answer = client.post(
            "/assistants/token",
            data={"grant_type": "client_credentials"},
            auth=("nightly", nightly["SECRET"]),
        )
        assert answer.json()["scope"] == "orders:read", answer.text
        with Client(nightly["server"], token=answer.json()["access_token"]) as own:
            assert own.call_tool("orders").data == "All orders, for the program nightly"
    assert company["find_user"]({"sub": "00u1a2b3"}) == "7"


def test_the_page_of_authorization_names_modules_and_tests_that_exist() -> None:
    page = (ROOT / "docs" / "authorization.md").read_text()
    tests = re.findall(r"`(\S+\.py)::(\w+)`", page)
    assert len(tests) > 80
    for file, name in tests:
        folder = ROOT if "/" in file else ROOT / "tests" / "auth" / "authorization"
        assert f"def {name}(" in (folder / file).read_text(), name
    modules = re.findall(r"`(\S+\.py)`", page)
    assert len(modules) > 60
    for file in modules:
        folder = ROOT if "/" in file else ROOT / "mcp_mount" / "auth" / "authorization"
        assert (folder / file).exists(), file


def test_the_examples_of_the_testing_page_pass() -> None:
    [block] = blocks(ROOT / "docs" / "testing.md")
    names = execute(block)
    tests = [one for name, one in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_the_testing_page_names_all_that_a_result_has() -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    assert {name for name in dir(ToolResult) if not name.startswith("_")} - named == set()


def test_the_examples_of_the_tasks_page_run() -> None:
    block, limited, by_celery, by_django, by_rq = blocks(ROOT / "docs" / "tasks.md")
    assert execute(by_rq)["server"].core.values["tasks"]
    settings = execute(by_django, INSTALLED_APPS=[])
    assert settings["MCP_MOUNT"]["TASKS"] == "mcp_mount_django.queues.tasks"
    assert settings["TASKS"]["default"]["BACKEND"].startswith("django_tasks_db.")
    assert "mcp_mount.run_task" in execute(by_celery)["celery"].tasks
    server = execute(block)["server"]
    assert execute(limited)["server"].core.tasks.limits.tasks_per_caller == 50
    for tasks in (True, False):
        with Client(server, tasks=tasks) as client:
            report = client.call_tool("yearly_report", {"year": 2026})
            assert report.text == "The report of 2026"
            assert client.call_tool("export", {"rows": 2000}).text == "2000 rows"
    with Client(server) as client:
        answer = client.request("tools/call", {"name": "export", "arguments": {"rows": 5}})
        assert answer["resultType"] == "complete"


def test_the_examples_of_the_pages_page_run(tmp_path: Path) -> None:
    [block] = blocks(ROOT / "docs" / "pages.md")
    (tmp_path / "weather.html").write_text("<h1>Weather in {{ config.CITY }}</h1>")
    names = execute(block)
    app = names["app"]
    app.template_folder, app.config["CITY"] = str(tmp_path), "Oslo"
    with Client(app) as client:
        [page] = client.read_resource("ui://weather")
        assert page["text"] == "<h1>Weather in Oslo</h1>"
        assert page["mimeType"] == "text/html;profile=mcp-app"
        assert page["_meta"]["ui"] == {
            "csp": {"connectDomains": ["https://tiles.example.org"]},
            "permissions": {"geolocation": {}},
        }
        shown = {tool["name"]: tool["_meta"]["ui"] for tool in client.list_tools()}
        assert shown["weather"] == {"resourceUri": "ui://weather"}
        assert shown["tile"]["visibility"] == ["app"]


def test_the_examples_of_the_flask_page_run() -> None:
    from flask_login import LoginManager

    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "flask.md"):
        names = execute(block, **names)
    app = names["app"]
    LoginManager(app)
    app.register_blueprint(names["reports"])
    with Client(app) as client:
        assert [tool["name"] for tool in client.list_tools()] == [
            "stock",
            "price",
            "show_order",
            "place_order",
        ]
        assert client.call_tool("show_order", {"number": 7}).data == {"number": 7}
        made = client.call_tool("place_order", {"sku": "TEA"}).data
        assert made == {"sku": "TEA"}
        assert client.call_tool("price", {"sku": "COFFEE"}).text == "There is no COFFEE"
    assert names["mcp"].server.registry.tools["revenue"].rules


def test_the_flask_page_names_every_key_of_the_configuration() -> None:
    text = (ROOT / "docs" / "flask.md").read_text()
    table = text[text.index("## Configuration") : text.index("## At the terminal")]
    named = re.findall(r"^\| `MCP_([A-Z_]+)` \|", table, re.MULTILINE)
    known = {name.upper() for name in OPTIONS}
    assert known ^ set(named) == set(), (
        "docs/flask.md, Configuration: a row for each option of a server, policies among them"
    )
    assert len(named) == len(known), "docs/flask.md, Configuration: two rows for one key"


def test_the_examples_of_the_fastapi_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "fastapi.md"):
        names = execute(block, **names)
    with Client(names["api"], headers={"x-tenant": "acme"}) as client:
        assert client.call_tool("temperature", {"city": "Oslo"}).text == "4.5 in Oslo, for acme"
        station = client.call_tool("weather_station", {"code": "OSL", "days": 2}).data
        assert station == {"code": "OSL", "days": "2"}
        assert client.call_tool("best_station").text == '["OSL"]'


def test_the_examples_of_the_starlette_page_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "starlette.md"):
        names = execute(block, **names)
    with Client(names["app"], headers={"authorization": "ada write"}) as client:
        assert client.call_tool("note", {"text": "hi"}).text == "ada: hi"
    with Client(names["app"], headers={"authorization": "bob read"}) as client:
        assert client.list_tools() == []
    deep = {"host": "127.0.0.1"}
    with Client(names["nested"], path="/deep/mcp", headers=deep) as client:
        assert client.list_tools() == []


def test_readme_has_a_short_snippet_for_each_host() -> None:
    snippets = blocks(README)
    assert len(snippets) == 6
    for snippet in snippets:
        assert len(snippet.splitlines()) <= 16


def test_the_flask_snippet_runs() -> None:
    mcp = execute(blocks(README)[1])["mcp"]
    result = call(mcp.server, "open_tickets")["structuredContent"]
    assert result == {"result": ["Printer"]}


def test_the_fastapi_snippet_runs() -> None:
    api = execute(blocks(README)[2])["api"]
    with Client(api) as client:
        assert client.call_tool("temperature", {"city": "Oslo"}).data == 4.5


def test_the_composition_snippet_runs() -> None:
    with Client(execute(blocks(README)[3])["app"]) as client:
        assert [tool["name"] for tool in client.list_tools()] == [
            "generate_image",
            "edit_image",
        ]


def test_the_snippet_of_existing_endpoints_runs() -> None:
    from mcp_mount_fastapi import expose

    api = FastAPI()

    @api.get("/orders", tags=["orders"])
    def list_orders() -> list[str]:
        return ["7"]

    from mcp_mount_flask import MCPMount

    app = Flask("readme", static_folder=None)
    app.add_url_rule("/api/stock", "stock", lambda: {"left": 3})
    mcp = MCPMount(app, "/mcp")
    server = MCPServer("shop")
    viewsets: list[Any] = []
    add_viewset = SimpleNamespace(add_viewset=viewsets.append)

    exposed, flask_line, django_line = (
        line for line in blocks(README)[4].splitlines() if not line.startswith("#")
    )
    exec(exposed, {"expose": expose, "api": api, "server": server})
    exec(flask_line, {"mcp": mcp, "staff": lambda request: True})
    exec(django_line, {"server": add_viewset, "OrderViewSet": object})
    assert [*server.registry.tools] == ["list_orders"]
    assert [*mcp.server.registry.tools] == ["stock"]
    assert viewsets == [object]


def test_the_policies_snippet_runs() -> None:
    from mcp_mount.auth import APIKey, APIKeys

    app = execute(blocks(README)[5])["app"]
    key = "a key for the example"
    app.configure(auth=APIKeys([APIKey("ada", key, scopes="orders:write")]))
    with Client(app, headers={"x-api-key": key}) as client:
        assert client.call_tool("pay", {"order": 7, "card": "4111"}).text == "70 paid"


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "connect.md"], ids=lambda one: one.name)
def test_the_curl_command_gets_an_answer(page: Path) -> None:
    command = page.read_text().partition("curl -i ")[2].partition("```")[0]
    body = re.search(r"-d '(.*)'", command, re.DOTALL)
    assert body is not None
    with TestClient(MCPServer("shop"), base_url="http://localhost:8000") as client:
        answer = client.post("/mcp", content=body[1], headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert answer.json()["result"]["serverInfo"]["name"] == "shop"


def test_the_configuration_of_clients_is_json_with_one_server() -> None:
    page = (ROOT / "docs" / "connect.md").read_text()
    files = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(files) == 6
    for file in files:
        given = json.loads(file)
        assert list(given.get("mcpServers") or given["servers"]) == ["shop"]


def test_every_anchor_of_a_link_is_a_heading() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert anchor in headings(page.parent / target if target else page), anchor


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        target = target.replace("/tree/main/", "/blob/main/")
        if target.startswith(_HOME):
            assert (ROOT / target.removeprefix(_HOME)).exists(), target
        elif not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_example_of_the_porting_page_runs() -> None:
    [code] = blocks(ROOT / "docs" / "porting.md")
    server = execute(code)["server"]
    with Client(server) as client:
        assert client.call_tool("price", {"name": "tea"}).data == 4
        with pytest.raises(RPCError, match="There is no coffee"):
            client.call_tool("price", {"name": "coffee"})
        with pytest.raises(RPCError, match="There is no coffee"):
            client.request("resources/read", {"uri": "shop://articles/coffee"})
        ref = {"type": "ref/prompt", "name": "debug_error"}
        argument = {"name": "error", "value": "Key"}
        found = client.request("completion/complete", {"ref": ref, "argument": argument})
        assert found["completion"]["values"] == ["KeyError"]


def test_the_messages_of_the_troubleshooting_page_are_those_of_the_code() -> None:
    """Each part between what differs is a constant of the library, or the end or start of one."""
    told = []
    for file in (ROOT / "mcp_mount").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                told.append(node.value.replace("%r", "…").replace("%s", "…").replace("%d", "…"))
    told.append("The Content-Type must be application/json")
    whole = "\n".join(told)
    rows = [
        line.split("|")[1]
        for line in (ROOT / "docs/troubleshooting.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert len(messages) > 15
    for message in messages:
        for part in message.split("…"):
            assert part.strip() in whole, message
