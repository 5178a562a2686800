"""Opaque tokens, API keys, users' own verifiers; several of them; and the host's users besides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from mcp_mount import (
    AccessToken,
    ChatRequest,
    CompletionsRouter,
    MCPServer,
    SyncContext,
    ToolsRouter,
)
from mcp_mount.auth import JWT, APIKey, APIKeys, Introspection, TokenVerifier
from tests.auth.issuer import Issuer, issuing, rsa_key
from tests.requests import stateless

RESOURCE = "https://api.example.com/mcp"
KEY = "an-api-key-of-some-length"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


def build(auth: Any, **options: Any) -> MCPServer:
    tools = ToolsRouter()

    @tools.tool
    def whoami(ctx: SyncContext) -> str:
        return str(ctx.caller)

    @tools.tool(scopes="write")
    def save(ctx: SyncContext) -> str:
        return f"saved by {ctx.caller}"

    @tools.tool(roles=["manager", "owner"])
    def close() -> str:
        return "closed"

    @tools.tool(when=lambda caller: caller.claims.get("tenant") == "acme")
    def acme_only() -> str:
        return "acme"

    chat = CompletionsRouter()

    @chat.chat
    def echo(request: ChatRequest) -> str:
        return "hello"

    server = MCPServer("guarded", auth=auth, resource=RESOURCE, **options)
    server.include_router(tools)
    server.include_router(chat)
    return server


def call(server: MCPServer, tool: str, **headers: str) -> Any:
    own, body = stateless("tools/call", {"name": tool, "arguments": {}})
    return TestClient(server).post("/mcp", content=body, headers={**own, **headers})


def listed(server: MCPServer, **headers: str) -> Any:
    own, body = stateless("tools/list")
    response = TestClient(server).post("/mcp", content=body, headers={**own, **headers})
    result = response.json()["result"]
    return [tool["name"] for tool in result["tools"]], result["cacheScope"]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def introspecting(issuer: Issuer, **options: Any) -> Introspection:
    return Introspection(
        f"{issuer.url}/introspect",
        issuer=issuer.url,
        client_id="me",
        client_secret="secret",
        **options,
    )


def test_an_active_token_is_asked_for_once_in_a_while(issuer: Issuer) -> None:
    issuer.answer = {"active": True, "sub": "ada", "aud": RESOURCE, "exp": time.time() + 60}
    server = build(introspecting(issuer))
    for _ in range(3):
        result = call(server, "whoami", **bearer("opaque")).json()["result"]
        assert result["content"][0]["text"] == "ada"
    assert issuer.introspected == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"active": False}, "The access token is not active"),
        ({"active": "true"}, "The access token is not active"),
        ({"active": True, "sub": "ada"}, "The access token is for another resource"),
        (
            {"active": True, "sub": "ada", "aud": RESOURCE, "cnf": {"jkt": "x"}},
            "The access token is bound to a key, so it is no bearer token",
        ),
        ({"active": True, "sub": "ada", "aud": "x"}, "The access token is for another resource"),
        ({"active": True, "aud": RESOURCE}, "The access token names nobody"),
        (
            {"active": True, "sub": "ada", "aud": RESOURCE, "iss": "https://evil.example"},
            "The access token is of another issuer",
        ),
        (
            {"active": True, "sub": "ada", "aud": RESOURCE, "exp": 1},
            "The access token has expired",
        ),
    ],
)
def test_answers_that_are_not_accepted(issuer: Issuer, answer: Any, words: str) -> None:
    issuer.answer = answer
    response = call(build(introspecting(issuer)), "whoami", **bearer("opaque"))
    assert response.status_code == 401
    assert f'error_description="{words}"' in response.headers["www-authenticate"]


def test_an_audience_that_is_never_told_may_be_left_alone(issuer: Issuer) -> None:
    issuer.answer = {"active": True, "username": "ada"}
    server = build(introspecting(issuer, audience=False))
    assert call(server, "whoami", **bearer("opaque")).status_code == 200


def test_nothing_keeps_a_token_that_was_refused(issuer: Issuer) -> None:
    import gc

    server = build(introspecting(issuer))
    token = "-".join(["opaque", "secret", "token"])
    assert call(server, "whoami", **bearer(token)).status_code == 401
    gc.collect()
    resource_server: Any = server.core.resource_server
    [verifier] = resource_server._verifiers
    kept = [value for _, value in verifier._refused._entries.values()]
    assert [one.__traceback__ for one in kept] == [None]


def test_an_endpoint_that_does_not_answer_is_a_503(issuer: Issuer) -> None:
    issuer.fails = True
    assert call(build(introspecting(issuer)), "whoami", **bearer("opaque")).status_code == 503


@pytest.mark.parametrize("header", [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}])
def test_an_api_key_stands_for_somebody(header: dict[str, str]) -> None:
    server = build(APIKeys([APIKey("ci", KEY, scopes="write", roles=["owner"])]))
    assert call(server, "save", **header).json()["result"]["content"][0]["text"] == "saved by ci"
    assert listed(server, **header) == (["whoami", "save", "close"], "private")
    response = call(server, "whoami", **{"x-api-key": KEY + "x"})
    assert response.status_code == 401
    # Without an authorization server there are no metadata to point to.
    assert response.headers["www-authenticate"] == 'ApiKey header="X-API-Key"'


def test_keys_need_nobody_to_vouch_for_a_host(caplog: Any) -> None:
    server = MCPServer(auth=APIKeys({"ci": KEY}))
    headers, body = stateless("tools/list")
    response = TestClient(server).post("/mcp", content=body, headers={**headers, "x-api-key": KEY})
    assert response.status_code == 200
    assert caplog.text == ""


def test_keys_may_be_looked_up() -> None:
    async def find(key: str) -> AccessToken | None:
        return AccessToken("stored") if key == KEY else None

    server = build(APIKeys(find=find, header="X-Shop-Key"))
    assert call(server, "whoami", **{"x-shop-key": KEY}).status_code == 200
    assert call(server, "whoami", **{"x-shop-key": "no"}).status_code == 401


def test_a_short_key_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="fewer than 16 characters"):
        APIKeys({"ci": "short"})
    wrong: list[Any] = [KEY, [KEY]]
    for keys in wrong:
        with pytest.raises(TypeError, match=r"takes APIKey\('name', 'secret'\) objects") as refusal:
            APIKeys(keys)
        assert KEY not in str(refusal.value)
    assert KEY not in repr(APIKey("ci", KEY))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_of_ones_own_verifies(is_async: bool) -> None:
    seen: list[Any] = []

    def find(token: str, resource: str | None) -> AccessToken | None:
        seen.append(resource)
        return AccessToken("own", claims={"tenant": "acme"}) if token == "good" else None

    async def find_async(token: str, resource: str | None) -> AccessToken | None:
        return find(token, resource)

    server = build(TokenVerifier(find_async if is_async else find))
    assert call(server, "acme_only", **bearer("good")).status_code == 200
    assert call(server, "acme_only", **bearer("bad")).status_code == 401
    assert seen == [RESOURCE, RESOURCE]


def test_several_kinds_side_by_side(issuer: Issuer) -> None:
    key = issuer.add("one", rsa_key())
    server = build([JWT(issuer.url), APIKeys({"ada": KEY})])
    jwt = issuer.token(key, aud=RESOURCE)
    texts = [
        call(server, "whoami", **headers).json()["result"]["content"][0]["text"]
        for headers in (bearer(jwt), {"x-api-key": KEY}, bearer(KEY))
    ]
    # The same name of two kinds is not the same caller.
    assert texts == [f"ada@{issuer.url}", "ada@key", "ada@key"]
    assert call(server, "whoami", **bearer("neither")).status_code == 401


def test_a_missing_scope_is_asked_for(issuer: Issuer) -> None:
    key = issuer.add("one", rsa_key())
    server = build(JWT(issuer.url), scopes="read")
    token = issuer.token(key, aud=RESOURCE, scope="read")
    response = call(server, "save", **bearer(token))
    assert response.status_code == 403
    assert response.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", '
        'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp", '
        'scope="write", error_description="The access token must be good for: write"'
    )
    # What no token would change stays unknown.
    response = call(server, "close", **bearer(token))
    assert (response.status_code, "www-authenticate" in response.headers) == (400, False)
    assert response.json()["error"]["message"] == "Unknown tool: close"
    # For the whole server, too.
    response = call(server, "whoami", **bearer(issuer.token(key, aud=RESOURCE, scope="other")))
    assert response.status_code == 403
    assert 'scope="read"' in response.headers["www-authenticate"]


def test_a_broad_scope_implies_narrow_ones() -> None:
    keys = [APIKey("clerk", KEY, scopes="edit"), APIKey("owner", KEY + "2", scopes="all")]
    hierarchy = {"all": ["edit", "audit"], "edit": "write", "write": "edit read"}
    server = build(APIKeys(keys), scopes="read", scope_hierarchy=hierarchy)
    for key in (KEY, KEY + "2"):
        assert call(server, "save", **{"x-api-key": key}).status_code == 200
    narrow = build(APIKeys([APIKey("reader", KEY, scopes="read")]), scope_hierarchy=hierarchy)
    assert call(narrow, "save", **{"x-api-key": KEY}).status_code == 403


def test_lists_may_show_what_only_scopes_are_missing_for() -> None:
    server = build(APIKeys({"ada": KEY}), list_step_up=True)
    header = {"x-api-key": KEY}
    assert listed(server, **header) == (["whoami", "save"], "private")
    names = [one["name"] for one in TestClient(server).get("/tools", headers=header).json()]
    assert names == ["whoami", "save"]
    assert call(server, "save", **header).status_code == 403


def test_the_http_face_has_the_same_rules() -> None:
    server = build(APIKeys([APIKey("reader", KEY), APIKey("writer", KEY + "2", scopes="write")]))
    client = TestClient(server)
    reader, writer = {"x-api-key": KEY}, {"x-api-key": KEY + "2"}
    assert client.get("/tools").status_code == 401
    assert [one["name"] for one in client.get("/tools", headers=reader).json()] == ["whoami"]
    assert client.post("/tools/whoami", json={}, headers=reader).json() == "reader"
    refused = client.post("/tools/save", json={}, headers=reader)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert client.post("/tools/close", json={}, headers=reader).status_code == 404
    assert client.post("/tools/save", json={}, headers=writer).status_code == 200
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", json=chat).status_code == 401
    assert client.post("/v1/chat/completions", json=chat, headers=reader).status_code == 200


def test_without_required_credentials_others_are_anonymous() -> None:
    server = build(APIKeys([APIKey("ci", KEY, scopes="write")]), auth_required=False)
    assert call(server, "whoami").json()["result"]["content"][0]["text"] == "None"
    # Wrong credentials are not taken for none.
    assert call(server, "whoami", **{"x-api-key": "wrong"}).status_code == 401
    assert call(server, "save").status_code == 401
    assert call(server, "save", **{"x-api-key": KEY}).status_code == 200


def test_a_session_belongs_to_its_caller() -> None:
    server = build(APIKeys({"ada": KEY, "bob": KEY + "2"}))
    client = TestClient(server)
    from tests.requests import JSON_HEADERS, initialize, session_headers

    ada = {**JSON_HEADERS, "x-api-key": KEY}
    session = client.post("/mcp", content=initialize(), headers=ada).headers["mcp-session-id"]
    body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    own = client.post("/mcp", json=body, headers={**session_headers(session), "x-api-key": KEY})
    assert own.status_code == 200
    stolen = client.post(
        "/mcp", json=body, headers={**session_headers(session), "x-api-key": KEY + "2"}
    )
    assert stolen.status_code == 404
    assert client.post("/mcp", json=body, headers=session_headers(session)).status_code == 401


def test_metadata_need_no_credentials_and_only_reading() -> None:
    server = build(
        TokenVerifier(lambda token: None, authorization_servers=["https://login.example"])
    )
    client = TestClient(server)
    path = "/.well-known/oauth-protected-resource"
    for place in (path, f"{path}/mcp"):
        assert client.get(place).json()["authorization_servers"] == ["https://login.example"]
    assert client.post(path, json={}).status_code == 405
    assert client.get(f"{path}/other").status_code == 404
    assert TestClient(build(APIKeys({"ci": KEY}))).get(path).status_code == 404
    assert TestClient(MCPServer()).get(path).status_code == 404


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ("a secret", "not str"),
        (APIKey("ci", KEY), "not APIKey"),
        (APIKeys, "not the class APIKeys"),
        (lambda token: None, "not function"),
    ],
)
def test_what_verifies_nothing_is_refused_in_words_that_say_what_does(
    auth: Any, words: str
) -> None:
    with pytest.raises(TypeError, match=rf"takes objects such as JWT.*{words}"):
        MCPServer(auth=auth)


def test_no_verifiers_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="names nothing that verifies"):
        MCPServer(auth=[])
    with pytest.raises(TypeError, match="as find="):
        APIKeys(lambda key: None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a function"):
        TokenVerifier("a secret")  # type: ignore[arg-type]
