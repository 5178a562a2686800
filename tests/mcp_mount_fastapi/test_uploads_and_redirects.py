"""Exposed endpoints of FastAPI: files, redirects, cookies, links, policies, routers."""

from __future__ import annotations

import base64
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx2
import pytest
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict

from mcp_mount import DefinitionError, MCPServer, ToolError, ToolsRouter
from mcp_mount.auth import APIKey, APIKeys
from mcp_mount.openapi.responses import value_of_response
from mcp_mount.testing import Client
from mcp_mount_fastapi import as_tool, expose, mount
from tests.requests import stateless

HELLO = base64.b64encode(b"hello").decode()


def served(api: FastAPI, **options: Any) -> MCPServer:
    server = MCPServer("s", secret_key="k", open=True)
    mount(api, "/mcp", server)
    expose(api, server, **({"paths": "*"} | options))
    return server


def call(api: FastAPI, tool: str, **arguments: Any) -> Any:
    with Client(api) as client:
        return client.call_tool(tool, arguments)


@pytest.fixture
def files() -> FastAPI:
    api = FastAPI()

    @api.post("/upload")
    async def upload(
        file: UploadFile,
        more: Annotated[list[UploadFile], File()] = [],  # noqa: B006
        note: Annotated[str, Form()] = "",
    ) -> dict[str, Any]:
        names = [one.filename for one in more]
        text = (await file.read()).decode()
        return {"is": [file.filename, file.content_type, text], "more": names, "note": note}

    @api.post("/optional")
    async def optional(file: UploadFile | None = None) -> str:
        return "none" if file is None else str(file.filename)

    served(api)
    return api


def test_a_file_is_an_argument(files: FastAPI) -> None:
    with Client(files) as client:
        upload, optional = client.list_tools()
    properties = upload["inputSchema"]["properties"]
    assert properties["file"]["contentEncoding"] == "base64"
    assert properties["more"]["items"]["type"] == "string"
    assert upload["inputSchema"]["required"] == ["file"]
    assert optional["inputSchema"]["required"] == []


@pytest.mark.parametrize(
    ("file", "seen"),
    [
        (HELLO, ["file.bin", "application/octet-stream", "hello"]),
        (HELLO.rstrip("="), ["file.bin", "application/octet-stream", "hello"]),
        (f"data:text/plain;base64,{HELLO}", ["file.txt", "text/plain", "hello"]),
        (f"data:text/csv;name=a%20b.csv;base64,{HELLO}", ["a b.csv", "text/csv", "hello"]),
        (f"DATA:text/csv;Name=a.csv;BASE64,{HELLO}", ["a.csv", "text/csv", "hello"]),
        ("data:text/plain,he%6Clo", ["file.txt", "text/plain", "hello"]),
        (f"data:;name=..%2Fetc%2Fa.csv;base64,{HELLO}", ["a.csv", "text/csv", "hello"]),
        (f"data:a/b;name=x%22%0D%0Ay;base64,{HELLO}", ['x"\r\ny', "a/b", "hello"]),
    ],
)
def test_a_file_is_sent_as_base64_or_as_a_data_uri(files: FastAPI, file: str, seen: Any) -> None:
    name = seen[0].replace('"', "%22").replace("\r\n", "%0D%0A")
    assert call(files, "upload", file=file, note="é").structured == {
        "is": [name, *seen[1:]],
        "more": [],
        "note": "é",
    }


def test_several_files_and_none_go_along(files: FastAPI) -> None:
    told = call(files, "upload", file=HELLO, more=[HELLO, f"data:image/png;base64,{HELLO}"])
    assert told.structured["more"] == ["more.bin", "more.png"]
    assert call(files, "optional").text == "none"
    assert call(files, "optional", file=HELLO).text == "file.bin"


@pytest.mark.parametrize(
    "file",
    [
        *("%%%", 7, "data:text/plain;base64", {"data": HELLO}),
        *(
            f"data:{kind};base64,{HELLO}"
            for kind in ("text", "a/b\r\nX-Y: 1", "a/\0", "a/ž", "*/*")
        ),
    ],
)
def test_what_is_no_file_is_told(files: FastAPI, file: Any) -> None:
    wrong = call(files, "upload", file=file)
    assert wrong.is_error
    assert wrong.text.startswith("file: ")


def test_a_redirect_is_no_success_unless_the_endpoint_declares_it() -> None:
    api = FastAPI()

    @api.post("/done")
    def done() -> Any:
        return RedirectResponse("/elsewhere", 303)

    @api.post("/declared", status_code=303)
    def declared() -> Any:
        return RedirectResponse("/made/7", 303)

    @api.delete("/guarded", status_code=303)
    def guarded(to: str) -> Any:
        return RedirectResponse(to, 303)

    served(api, login="/portal")
    refused = call(api, "done")
    assert refused.is_error
    assert "redirects to '/elsewhere' (303)" in refused.text
    made = call(api, "declared")
    assert (made.is_error, made.text) == (False, "Done; see /made/7")
    for to in (
        *("/login", "/accounts/sign-in/", "https://sso.example.org/authorize?x=1"),
        *("/auth?next=%2Fguarded", "/pre/portal"),
    ):
        login = call(api, "guarded", to=to)
        assert (login.is_error, login.text) == (True, "Authentication required"), to
    assert not call(api, "guarded", to="/logins/7").is_error
    # Other pages, too, are told where to lead afterwards.
    assert call(api, "guarded", to="/orders/7?next=/cart").text == "Done; see /orders/7"


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("/made/7?token=secret#secret", "/made/7"),
        (
            "https://ada:secret@example.org:8443/made/7?token=secret",
            "https://example.org:8443/made/7",
        ),
        ("//ada:secret@example.org/made", "//example.org/made"),
        ("https:\\\\ada:secret@example.org/made", "https://example.org/made"),
        ("app://back?code=secret", "app://back"),
    ],
)
def test_where_a_redirect_leads_is_told_without_what_may_be_secret(to: str, told: str) -> None:
    def value(declared: bool) -> Any:
        return value_of_response(303, {"location": to}, b"", redirects=declared)

    assert value(True) == f"Done; see {told}"
    with pytest.raises(ToolError) as caught:
        value(False)
    assert str(caught.value) == f"The endpoint redirects to {told!r} (303): nothing is done"


@pytest.mark.parametrize(
    "to",
    [
        "/anmelden/?next=/guarded",
        "/anmelden/?lang=de&next=%2Fguarded%3Fto%3D1",
        "https://example.org/anmelden/?next=https://example.org/pre/guarded",
        "/confirm?return_to=/guarded",
    ],
)
def test_a_redirect_that_leads_back_to_the_endpoint_afterwards_is_no_success(to: str) -> None:
    api = FastAPI()

    @api.post("/guarded", status_code=303)
    def guarded(to: str) -> Any:
        return RedirectResponse(to, 303)

    served(api)
    result = call(api, "guarded", to=to)
    assert result.is_error
    assert "(303), which leads back to the endpoint afterwards, as a login does" in result.text
    assert "nothing is done" in result.text


@pytest.mark.parametrize("to", ["?token=secret", "https://[secret"])
def test_a_redirect_that_leads_nowhere_is_told_as_such(to: str) -> None:
    assert value_of_response(303, {"location": to}, b"", redirects=True) == "Done"
    with pytest.raises(ToolError, match=r"^The endpoint redirects \(303\): nothing is done$"):
        value_of_response(303, {"location": to}, b"")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<head><title>No</title></head><body><p>Not here</p></body>", "Not here"),
        ("<head><title>No</title><body>Not <b>here</b>", "Not here"),
        ("<head><meta charset=utf-8><style>p {}</style><h1>Not here</h1>", "Not here"),
        ("</style><script>a < b</script>Not here", "Not here"),
        ("Not &amp; here <![foo bar]>", "Not & here"),
        ("Not <![foo[x]]> here<![if IE]>!<![endif]>", "Not here !"),
        ("<head><title>No</title></head>", "The endpoint answers 404"),
    ],
)
def test_the_words_of_an_error_page_are_told(page: str, words: str) -> None:
    with pytest.raises(ToolError) as caught:
        value_of_response(404, {"content-type": "text/html"}, page.encode())
    assert str(caught.value) == words


@pytest.mark.parametrize("deep", [300, 100_000])
def test_an_answer_that_is_nested_too_deeply_is_a_text(deep: int) -> None:
    api = FastAPI()

    @api.get("/deep", name="deep")
    def answer() -> Response:
        return Response("[" * deep + "]" * deep, media_type="application/json")

    served(api)
    assert call(api, "deep").text == "[" * deep + "]" * deep


def test_a_cookie_that_an_endpoint_sets_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FastAPI()

    @api.post("/begin")
    def begin(response: Response) -> str:
        response.set_cookie("session", "1")
        return "in"

    served(api)
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        assert call(api, "begin").text == "in"
        assert call(api, "begin").text == "in"
    assert caplog.text.count("The endpoint of the tool 'begin' sets a cookie") == 1


class Pet(BaseModel):
    name: str


class Odd:
    pass


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    odd: Odd


def test_an_endpoint_that_cannot_be_described_is_left_out_alone() -> None:
    api, router = FastAPI(), APIRouter(prefix="/router")

    @router.post("/odd")
    def odd(model: Model) -> None: ...

    @router.get("/fit")
    def fit() -> None: ...

    api.include_router(router)
    exposed = expose(api, MCPServer("s"), paths="*")
    assert exposed.tools == ["fit"]
    [(endpoint, reason)] = exposed.left_out.items()
    # FastAPI before 0.137 has a route of its own for each endpoint of a router, with its method,
    # and describes it by a model that is not there.
    assert endpoint.removeprefix("POST ") == "/router/odd"
    assert "FastAPI cannot describe it: " in reason or "leads nowhere" in reason


def test_answers_are_promised_where_fastapi_enforces_them() -> None:
    api = FastAPI()

    @api.get("/enforced")
    def enforced() -> Pet:
        return Pet(name="Rex")

    @api.get("/documented", responses={200: {"model": Pet}})
    def documented() -> Any:
        return JSONResponse({"name": "Rex"})

    def promised(**options: Any) -> list[str]:
        server = MCPServer("s")
        expose(api, server, paths="*", **options)
        return [one.name for one in server.registry.tools.values() if one.output.schema]

    assert promised() == ["enforced"]
    assert promised(output_schemas=True) == ["enforced", "documented"]
    assert promised(output_schemas=False) == []


def orders() -> FastAPI:
    api = FastAPI()

    @api.get("/orders/{number}")
    def order(number: int, loud: bool = False) -> dict[str, int]:
        return {"number": number}

    @api.get("/all")
    def everything() -> list[int]:
        return [1, 2]

    return api


@pytest.mark.parametrize("kind", ["server", "router"])
def test_policies_are_declared_as_around_a_tool(kind: str) -> None:
    api = orders()
    server, router = MCPServer("s", secret_key="k", open=True), ToolsRouter()

    def known(number: int, loud: bool | None) -> None:
        if number > 100:
            raise ValueError(f"There is no order {number} ({loud})")

    def small(value: Any, number: int) -> None:
        if value["number"] == 13:
            raise ValueError("Unlucky")

    exposed = expose(
        api,
        router if kind == "router" else server,
        operations="order",
        check=known,
        check_result=small,
        throttle="3/minute",
        timeout=30,
        redact="number",
    )
    assert exposed.tools == ["order"]
    if kind == "router":
        server.include_router(router)
    mount(api, "/mcp", server)
    assert call(api, "order", number=7).structured == {"number": 7}
    assert call(api, "order", number=101).text == "There is no order 101 (None)"
    assert call(api, "order", number=13).text == "Unlucky"
    assert "again in" in call(api, "order", number=7).text


def test_a_permission_holds_for_every_tool() -> None:
    api = orders()
    served(api, permission=lambda request: request.headers.get("x-user") == "ada")
    with Client(api) as client:
        assert client.list_tools() == []
    with Client(api, headers={"x-user": "ada"}) as client:
        assert len(client.list_tools()) == 2


def test_a_permission_may_be_a_dependency() -> None:
    api, asked = orders(), list[str]()

    async def admin(request: Request) -> None:
        asked.append(request.url.path)
        if request.headers.get("x-user") != "ada":
            raise HTTPException(403, "Ada only")

    served(api, permission=Depends(admin))
    with Client(api) as client:
        assert client.list_tools() == []
    with Client(api, headers={"x-user": "ada"}) as client:
        assert client.call_tool("order", {"number": 7}).structured == {"number": 7}
    assert set(asked) == {"/mcp"}


def test_scopes_hold_for_every_tool() -> None:
    api = orders()
    keys = [APIKey("reader", "r" * 32), APIKey("clerk", "c" * 32, scopes="orders")]
    server = MCPServer("s", secret_key="k", auth=APIKeys(keys))
    mount(api, "/mcp", server)
    expose(api, server, operations="order", scopes=["orders"])
    expose(api, server, operations="everything")
    for key, tools in (("r", ["everything"]), ("c", ["order", "everything"])):
        with Client(api, token=key * 32) as client:
            assert [one["name"] for one in client.list_tools()] == tools
    with Client(api, token="c" * 32) as client:
        assert client.call_tool("order", {"number": 7}).structured == {"number": 7}


def test_tools_of_a_router_are_plain_http_too() -> None:
    api, server, router = orders(), MCPServer("s", secret_key="k", open=True), ToolsRouter()
    expose(api, router, paths="*", max_result_bytes=9)
    server.include_router(router)
    mount(api, "/mcp", server)
    from starlette.testclient import TestClient

    with TestClient(api, base_url="http://localhost") as client:
        answer = client.post("/mcp/tools/order", json={"number": 7})
        large = client.post("/mcp/tools/order", json={"number": 7777})
    assert (answer.status_code, answer.json()) == (413, answer.json())
    assert large.status_code == 413


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"throtle": "1/minute"}, "expose has no option 'throtle'; did you mean 'throttle'?"),
        ({"check": lambda nmber: None}, "wants the argument 'nmber'; did you mean 'number'?"),
        ({"check": 7}, "a check is a function, not 7"),
        ({"throttle": "often"}, "often"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(options: Any, words: str) -> None:
    server = MCPServer("s")
    with pytest.raises((DefinitionError, ValueError)) as caught:
        expose(orders(), server, operations="order", **options)
    assert words in str(caught.value)
    assert not server.registry.tools


def test_the_application_comes_first() -> None:
    with pytest.raises(DefinitionError, match=r"expose\(api, server\), not FastAPI"):
        expose(MCPServer("s"), orders(), paths="*")  # type: ignore[arg-type]


def test_many_endpoints_are_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp_mount_fastapi import documents

    made: list[FastAPI] = []
    usual = documents.get_openapi
    monkeypatch.setattr(documents, "get_openapi", lambda **one: made.append(one) or usual(**one))
    api = orders()
    expose(api, MCPServer("a"), operations="order")
    expose(api, MCPServer("b"), operations="everything")
    assert len(made) == 1
    api.get("/later")(lambda: None)
    assert "lambda" in expose(api, MCPServer("c"), paths="/later").tools[0]
    assert len(made) == 2


@contextmanager
def running(api: FastAPI, root_path: str) -> Iterator[str]:
    """The application under uvicorn, as if a proxy had taken `root_path` off its paths."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(api, root_path=root_path, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class Prefixed:
    """Middleware that takes the prefix that a proxy tells."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            prefix = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").decode()
            root = prefix + scope.get("root_path", "")
            scope = {**scope, "root_path": root, "path": prefix + scope["path"]}
        await self.app(scope, receive, send)


@pytest.mark.parametrize("where", ["uvicorn", "application", "stripped", "middleware", "nowhere"])
@pytest.mark.parametrize("place", ["own", "mounted", "nested"])
def test_links_of_exposed_endpoints_are_right_behind_a_prefix(where: str, place: str) -> None:
    prefix = "" if where == "nowhere" else "/pre"
    outer = FastAPI()
    if where in ("application", "stripped"):
        # As a parameter it is deprecated.
        outer.root_path = "/pre"
    inner = outer if place == "own" else FastAPI()

    @inner.get("/links/{number}")
    def links(request: Request, number: int) -> dict[str, str]:
        return {
            "url_for": str(request.url_for("links", number=number)),
            "base": str(request.base_url),
        }

    if place == "mounted":
        outer.mount("/sub", inner)
    elif place == "nested":
        middle = FastAPI()
        middle.mount("/sub", inner)
        outer.mount("/middle", middle)
    if where == "middleware":
        outer.add_middleware(Prefixed)
    server = MCPServer("s", secret_key="k", open=True)
    expose(outer, server, operations="links")
    mount(outer, "/mcp", server)
    # A proxy that leaves the prefix in the path, or ("stripped") takes it away.
    left = "/pre" if where == "application" else ""
    headers = {"x-forwarded-prefix": "/pre"} if where == "middleware" else {}
    with running(outer, "/pre" if where == "uvicorn" else "") as url:
        own, body = stateless("tools/call", {"name": "links", "arguments": {"number": 7}})
        answer = httpx2.post(f"{url}{left}/mcp", content=body, headers={**own, **headers}).json()
        told = answer["result"]["structuredContent"]
        path = {"own": "", "mounted": "/sub", "nested": "/middle/sub"}[place]
        plain = httpx2.get(f"{url}{left}{path}/links/7", headers=headers).json()
    if where != "stripped" or place == "own":
        # Starlette's own mounts find nothing without the prefix.
        assert told == plain
    assert told["url_for"] == f"{url}{prefix}{path}/links/7"


@pytest.mark.parametrize("identified", [False, True])
def test_a_cached_answer_is_for_those_who_send_the_same_headers_along(identified: bool) -> None:
    api, server = FastAPI(), MCPServer("s", **({"caller": lambda r: "one"} if identified else {}))

    @api.get("/me")
    def me(request: Request) -> str:
        return request.headers["x-user"]

    expose(api, server, operations="me", cache=60, forward="x-user")

    def asked_by(name: str) -> str:
        with Client(server, headers={"x-user": name}) as client:
            return client.call_tool("me").text

    assert [asked_by("ada"), asked_by("bob"), asked_by("ada")] == ["ada", "bob", "ada"]


@pytest.mark.parametrize(("status", "bodies"), [(302, 1), (307, 2)])
def test_only_a_redirect_that_asks_for_it_sends_a_body_again(status: int, bodies: int) -> None:
    api, server, got = FastAPI(redirect_slashes=False), MCPServer("s"), list[str]()

    @api.post("/orders")
    def create() -> RedirectResponse:
        got.append("/orders")
        return RedirectResponse("/orders/", status)

    @api.post("/orders/", include_in_schema=False)
    def slash() -> str:
        got.append("/orders/")
        return "created"

    expose(api, server, operations="create")
    with Client(server) as client:
        result = client.call_tool("create")
    assert got == ["/orders", "/orders/"][:bodies]
    assert result.is_error == (bodies == 1)


def test_a_text_of_an_unknown_charset_is_read_as_utf_8() -> None:
    api, server = FastAPI(), MCPServer("s")

    @api.get("/text")
    def text() -> Response:
        csv = "text/csv; charset=nonsense; header=present"
        return Response("\u017dlu\u0165".encode(), media_type=csv)

    expose(api, server, operations="text")
    with Client(server) as client:
        assert client.call_tool("text").text == "\u017dlu\u0165"


def test_a_mark_that_says_no_is_none() -> None:
    api = FastAPI()
    api.add_api_route("/no", lambda: 1, name="no", openapi_extra={"x-mcp": False})
    api.add_api_route("/yes", lambda: 1, name="yes", openapi_extra=as_tool())
    assert len(expose(api, MCPServer("s")).tools) == 1
