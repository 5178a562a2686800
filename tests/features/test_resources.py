"""Resources and templates of them."""

from __future__ import annotations

import base64
from typing import Any

import mcp_types
import pytest
from pydantic import BaseModel

from mcp_mount import Completion, DefinitionError, MCPRouter, MCPServer, SyncContext
from mcp_mount.protocol import Reply, Request
from mcp_mount.schemas.uri_templates import UriTemplate
from tests.requests import Session, ask


@pytest.fixture
def server() -> MCPServer:
    return MCPServer("tests", list_ttl_ms=7)


def read(server: MCPServer, uri: str) -> Any:
    return ask(server, "resources/read", {"uri": uri})


def test_without_resources_there_are_no_methods_for_them(server: MCPServer) -> None:
    assert ask(server, "resources/list")["error"]["code"] == -32601
    assert "resources" not in ask(server, "server/discover")["result"]["capabilities"]


def test_resources_and_templates_are_listed_apart(server: MCPServer) -> None:
    @server.resource(
        "config://app",
        title="Configuration",
        mime_type="application/json",
        size=12,
        annotations={"audience": ["user"], "priority": 0.5},
        icons=["data:,"],
        meta={"x/y": 1},
    )
    def config() -> dict[str, int]:
        """How it is set up."""
        return {"a": 1}

    @server.resource("users://{id}", name="person")
    def user(id: int) -> str:
        return str(id)

    assert ask(server, "resources/list")["result"]["resources"] == [
        {
            "uri": "config://app",
            "name": "config",
            "title": "Configuration",
            "description": "How it is set up.",
            "mimeType": "application/json",
            "size": 12,
            "annotations": {"audience": ["user"], "priority": 0.5},
            "icons": [{"src": "data:,"}],
            "_meta": {"x/y": 1},
        }
    ]
    templates = ask(server, "resources/templates/list")["result"]
    assert templates["resourceTemplates"] == [{"uriTemplate": "users://{id}", "name": "person"}]
    assert (templates["ttlMs"], templates["cacheScope"]) == (7, "public")
    [older] = Session(server, "2025-03-26").ask("resources/list")["result"]["resources"]
    assert set(older) == {"uri", "name", "description", "mimeType", "size", "annotations"}
    assert ask(server, "server/discover")["result"]["capabilities"]["resources"] == {
        "listChanged": True,
        "subscribe": True,
    }


class Point(BaseModel):
    x: int


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", {"mimeType": "text/plain", "text": "text"}),
        (b"\x00\xff", {"mimeType": "application/octet-stream", "blob": "AP8="}),
        ({"a": [1]}, {"mimeType": "application/json", "text": '{"a":[1]}'}),
        ([1, 2], {"mimeType": "application/json", "text": "[1,2]"}),
        (Point(x=1), {"mimeType": "application/json", "text": '{"x":1}'}),
    ],
)
def test_what_is_read_goes_by_its_kind(server: MCPServer, value: Any, content: Any) -> None:
    server.resource("data://it")(lambda: value)
    result = read(server, "data://it")["result"]
    assert result["contents"] == [{"uri": "data://it", **content}]
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    older = Session(server, "2025-06-18").ask("resources/read", {"uri": "data://it"})["result"]
    assert older == {"contents": result["contents"]}


def test_a_resource_may_give_its_contents_itself(server: MCPServer) -> None:
    parts = [
        mcp_types.TextResourceContents(uri="a://1", text="one"),
        mcp_types.BlobResourceContents(uri="a://2", blob="AA=="),
    ]
    server.resource("a://all")(lambda: parts)
    server.resource("a://whole")(lambda: mcp_types.ReadResourceResult(contents=parts))
    expected = [{"uri": "a://1", "text": "one"}, {"uri": "a://2", "blob": "AA=="}]
    assert read(server, "a://all")["result"]["contents"] == expected
    assert read(server, "a://whole")["result"]["contents"] == expected


def test_hints_for_copies_are_the_users_to_give(server: MCPServer) -> None:
    server.resource("a://b", ttl_ms=60_000, cache_scope="public", mime_type="text/css")(lambda: "x")
    result = read(server, "a://b")["result"]
    assert (result["ttlMs"], result["cacheScope"]) == (60_000, "public")
    assert result["contents"][0]["mimeType"] == "text/css"


def test_a_template_fills_the_parameters_of_its_function(server: MCPServer) -> None:
    @server.resource("shop://{country}/items/{id}{?lang}")
    async def item(id: int, country: str, lang: str = "en") -> list[Any]:
        return [id, country, lang]

    @server.resource("files://root/{+path}")
    def file(path: str, ctx: SyncContext) -> bytes:
        return f"{ctx.request_id}:{path}".encode()

    def text(uri: str) -> str:
        content = read(server, uri)["result"]["contents"][0]
        return str(content.get("text") or base64.b64decode(content["blob"]).decode())

    assert text("shop://fr/items/7") == '[7,"fr","en"]'
    assert text("shop://c%C3%B4te/items/7?lang=fr") == '[7,"côte","fr"]'
    assert text("files://root/a/b%20c.txt") == "1:a/b c.txt"


@pytest.mark.parametrize(
    "uri",
    [
        "files://root/../etc/passwd",
        "files://root/a/../../b",
        "files://root/a/%2e%2e/b",
        "files://root/%2Fetc/passwd",
        "files://root/a%5Cb",
        "files://root/a%00b",
        "files://root//etc/passwd",
        "files://root/",
        "files://other/a",
        "users://a/b",
        "users://a%2Fb",
        "users://..",
        "users://",
        "nothing://at-all",
    ],
)
def test_a_value_cannot_leave_its_place(server: MCPServer, uri: str) -> None:
    server.resource("files://root/{+path}")(lambda path: path)
    server.resource("users://{id}")(lambda id: id)
    error = read(server, uri)["error"]
    assert (error["code"], error["data"]) == (-32602, {"uri": uri})
    older = Session(server, "2025-11-25").ask("resources/read", {"uri": uri})["error"]
    assert (older["code"], older["data"]) == (-32002, {"uri": uri})


def test_a_value_that_does_not_fit_its_parameter_is_refused(server: MCPServer) -> None:
    @server.resource("users://{id}")
    def user(id: int) -> str:
        return str(id)

    error = read(server, "users://ada")["error"]
    assert error["code"] == -32602
    assert "id: Input should be a valid integer" in error["message"]


def test_the_resource_itself_goes_before_a_template(server: MCPServer) -> None:
    server.resource("users://{id}")(lambda id: "template")
    server.resource("users://me")(lambda: "me")
    assert read(server, "users://me")["result"]["contents"][0]["text"] == "me"
    assert read(server, "users://you")["result"]["contents"][0]["text"] == "template"


def test_what_a_resource_raises_is_kept_from_the_client(
    server: MCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    @server.resource("a://b")
    def broken() -> str:
        raise RuntimeError("secret")

    error = read(server, "a://b")["error"]
    assert error["code"] == -32603
    assert "secret" not in str(error)
    assert "secret" in caplog.text


def _no_parameter() -> str:
    return ""


def _parameter(other: str) -> str:
    return other


@pytest.mark.parametrize(
    ("uri", "function", "words"),
    [
        ("no-scheme", _no_parameter, "is no URI"),
        ("a://{id}", _no_parameter, "has no parameter id"),
        ("a://b", _parameter, "must be a variable of 'a://b': other"),
        ("a://{id}", _parameter, "has no parameter id, other"),
        ("a://{id", _parameter, "braces that are no expression"),
        ("a://{id}/{id}", _parameter, "stands in it twice"),
        ("a://{#frag}", _parameter, "braces that are no expression"),
        ("a://{a,b}", _parameter, "its own braces"),
        ("a://{?a}/b", _parameter, "must stand at the end"),
    ],
)
def test_a_resource_that_cannot_work_is_refused(
    server: MCPServer, uri: str, function: Any, words: str
) -> None:
    with pytest.raises(DefinitionError, match=r"test_resources\.py") as caught:
        server.resource(uri)(function)
    assert words in str(caught.value)


def test_routers_carry_resources_and_refuse_duplicates(server: MCPServer) -> None:
    first, second = MCPRouter(), MCPRouter()
    first.resource("a://b")(lambda: "x")
    second.resource("a://b")(lambda: "y")
    server.include_router(first)
    with pytest.raises(DefinitionError, match="the resource 'a://b' is already defined"):
        server.include_router(second)
    assert read(server, "a://b")["result"]["contents"][0]["text"] == "x"


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("a://x", "a://x", {}),
        ("a://{b}", "a://c.d-e", {"b": "c.d-e"}),
        ("a://{b}.{c}", "a://x.y", {"b": "x", "c": "y"}),
        ("a:/{/path*}", "a://x/y", {"path": "x/y"}),
        ("a:/{/one}", "a://x", {"one": "x"}),
        ("a:/{/one}", "a://x/y", None),
        ("a://b{?q,r}", "a://b?r=2&q=1", {"q": "1", "r": "2"}),
        ("a://b{?q}", "a://b", {}),
        ("a://b{?q}", "a://b?z=1", None),
        ("a://b{?q}", "a://b?q=1&q=2", None),
        ("a://b", "a://b?q=1", None),
        ("a://(b)+", "a://(b)+", {}),
        ("a://(b)+", "a://bb", None),
    ],
)
def test_templates_are_read_backwards(template: str, uri: str, values: Any) -> None:
    assert UriTemplate(template).match(uri) == values


# Forms of URIs


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("res://fixed/é ü", "res://fixed/%C3%A9%20%C3%BC"),
        ("res://fixed/%c3%a9%20%C3%BC", "res://fixed/%C3%A9%20%C3%BC"),
        ("res://fixed/a-b_c.d~e", "res://fixed/a-b_c.d~e"),
        ("res://fixed/%61%7E", "res://fixed/a~"),
        ("res://fixed/100%", "res://fixed/100%25"),
        ("res://fixed/a?b=c&d=[1]#e", "res://fixed/a?b=c&d=[1]#e"),
        ('res://fixed/"<>\\^`|', "res://fixed/%22%3C%3E%5C%5E%60%7C"),
        ("res://fixed/%2F%2f", "res://fixed/%2F%2F"),
        ("file:///C:/Žluť.txt", "file:///C:/%C5%BDlu%C5%A5.txt"),
    ],
)
def test_a_uri_is_listed_encoded_and_read_in_every_form(
    server: MCPServer, written: str, listed: str
) -> None:
    @server.resource(written)
    def fixed() -> str:
        return "found"

    [resource] = ask(server, "resources/list")["result"]["resources"]
    assert resource["uri"] == listed
    session = Session(server, "2025-11-25")
    for uri in (written, listed, listed.replace("%C3", "%c3")):
        [content] = session.ask("resources/read", {"uri": uri})["result"]["contents"]
        assert content == {"uri": uri, "mimeType": "text/plain", "text": "found"}


def test_a_template_is_listed_encoded_and_read_in_every_form(server: MCPServer) -> None:
    @server.resource("res://café/{name}/ü{?q}")
    def named(name: str, q: str = "") -> str:
        return f"{name} {q}"

    @server.completion("res://café/{name}/ü{?q}", "name")
    def names(completion: Completion) -> list[str]:
        return ["Ada"]

    [template] = ask(server, "resources/templates/list")["result"]["resourceTemplates"]
    assert template["uriTemplate"] == "res://caf%C3%A9/{name}/%C3%BC{?q}"
    session = Session(server, "2025-11-25")
    for uri in (
        "res://café/é b/ü?q=č",
        "res://caf%C3%A9/%C3%A9%20b/%C3%BC?q=%C4%8D",
        "res://caf%c3%a9/é%20b/ü?q=%c4%8d",
    ):
        answer = session.ask("resources/read", {"uri": uri})
        assert answer["result"]["contents"][0]["text"] == "é b č"
    for uri in ("res://café/{name}/ü{?q}", "res://caf%C3%A9/{name}/%C3%BC{?q}"):
        answer = session.ask(
            "completion/complete",
            {
                "ref": {"type": "ref/resource", "uri": uri},
                "argument": {"name": "name", "value": ""},
            },
        )
        assert answer["result"]["completion"]["values"] == ["Ada"]


def test_an_encoded_percent_sign_is_decoded_once(server: MCPServer) -> None:
    @server.resource("res://{name}")
    def named(name: str) -> str:
        return name

    assert read(server, "res://100%25")["result"]["contents"][0]["text"] == "100%"
    assert read(server, "res://%2541")["result"]["contents"][0]["text"] == "%41"
    assert "error" in read(server, "res://%2e%2E")
    assert "error" in read(server, "res://a%2Fb")


def test_two_forms_of_one_uri_are_duplicates(server: MCPServer) -> None:
    server.resource("res://é", name="one")(lambda: "")
    with pytest.raises(DefinitionError, match="is already defined"):
        server.resource("res://%c3%a9", name="two")(lambda: "")


def test_a_subscription_hears_of_a_resource_in_every_form(server: MCPServer) -> None:
    @server.resource("res://é")
    def fixed() -> str:
        return ""

    session = Session(server, "2025-11-25")
    headers = {**session.headers, "accept": "text/event-stream"}

    def heard(**more: str) -> str:
        request = Request("GET", {**headers, **more}, max_blocking=0)
        reply = server.core.wsgi_endpoint.respond_to(request)
        assert isinstance(reply, Reply)
        return reply.body.decode()

    first = heard()
    for uri in ("res://é", "res://%C3%A9", "res://%c3%a9"):
        assert session.ask("resources/subscribe", {"uri": uri})["result"] == {}
    server.notify.resource_updated("res://%c3%a9")
    event = [line[4:] for line in first.splitlines() if line.startswith("id: ")][-1]
    later = heard(**{"last-event-id": event})
    assert later.count("notifications/resources/updated") == 1
    assert '"uri":"res://%C3%A9"' in later
    assert session.ask("resources/unsubscribe", {"uri": "res://é"})["result"] == {}
    server.notify.resource_updated("res://é")
    assert heard(**{"last-event-id": event}).count("notifications/resources/updated") == 1
