"""Checks of the endpoints that programs use: the MCP endpoint, tokens, registration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from mcp_mount.cli.checking.asking import Answered
from mcp_mount.cli.checking.discovery import Discovery
from mcp_mount.cli.checking.findings import BROWSERS, EVERY, HOSTED, TYPESCRIPT, Finding
from mcp_mount.wire.messages import JSON

_FORM: Final = "application/x-www-form-urlencoded"


def check_address(discovery: Discovery) -> Iterator[Finding]:
    """Check what can be seen of the URL alone."""
    parts = urlsplit(discovery.url)
    if discovery.is_loopback:
        yield Finding(
            f"{parts.hostname} is this computer",
            f"{HOSTED} cannot reach it; clients on this computer can",
            "check the public URL as well, once there is one",
            is_in_the_way=False,
        )
        return
    if parts.scheme != "https":
        yield Finding(
            f"{discovery.url} is not https",
            f"{HOSTED} and the TypeScript SDK refuse it",
            "serve it by https",
        )
    elif parts.port not in (None, 443):
        yield Finding(
            f"The port is {parts.port}",
            "Claude.ai connects to port 443 only",
            "serve it at port 443",
        )


def check_challenge(discovery: Discovery) -> Iterator[Finding]:
    """Check what a client is told that has no token."""
    answer = discovery.challenge
    if answer.problem:
        yield Finding(
            str(answer),
            f"{EVERY} begins here",
            "see that the server runs, its name "
            "resolves, and its certificate is good (with its own CA: --ca FILE)",
        )
        return
    if answer.is_redirect:
        yield Finding(
            str(answer),
            "clients drop the body of a POST, or their token, on the way",
            f"give clients the URL {answer.location!r}, or serve this one without a redirect",
        )
        return
    if discovery.is_open:
        yield Finding(
            "The server answers without a token, and no metadata of a sign-in are published",
            "every client can connect without signing in",
            "add auth= or SignIn if clients should sign in; if there is one, see that requests to "
            "/.well-known/ reach the application",
            is_in_the_way=False,
        )
        return
    if answer.status == 200:
        yield Finding(
            "The server answers without a token",
            "it is open; assistants sign in only when a tool needs a scope (401)",
            "leave out auth_required=False if everybody has to sign in",
            is_in_the_way=False,
        )
        return
    if answer.status != 401:
        yield Finding(
            str(answer),
            f"{EVERY} begins to sign in at 401; at {answer.status} it gives up",
            "see that this is the URL of the server, and that neither CSRF protection, a login, "
            "an allowed-hosts list nor a bot wall answers in its place",
        )
        return
    challenge = answer.header("www-authenticate")
    if challenge is None:
        yield Finding(
            "401 has no WWW-Authenticate header",
            "clients do not learn where the metadata are, and some give up",
            "let proxies and error handlers leave the header as it is",
        )
    elif not challenge.startswith("Bearer "):
        yield Finding(
            f"WWW-Authenticate begins with {challenge.split(' ')[0]!r}",
            f"{TYPESCRIPT} and VS Code read the first scheme only, which must be Bearer",
            "put Bearer first",
        )
    elif discovery.resource_metadata is None:
        yield Finding(
            "WWW-Authenticate names no resource_metadata",
            "Claude.ai and others look at the root of the domain instead",
            "use auth= of MCPServer, which names it",
            is_in_the_way=False,
        )


def check_endpoints(discovery: Discovery) -> Iterator[Finding]:
    """Check the endpoints for tokens and registration with requests that must be refused."""
    for name, kind, body in (
        ("token_endpoint", _FORM, b"grant_type=authorization_code"),
        ("registration_endpoint", JSON, b"{}"),
    ):
        url = discovery.server.get(name)
        if not isinstance(url, str) or not discovery.has_own_server:
            continue
        headers: Mapping[str, str] = {"content-type": kind, "accept": JSON}
        yield from _check_refusal(name, discovery.asker.send("POST", url, headers, body))
        asked = {
            "origin": "https://inspector.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        preflight = discovery.asker.send("OPTIONS", url, asked)
        if preflight.values("access-control-allow-origin") not in (["*"], [asked["origin"]]):
            yield Finding(
                f"{preflight}: without Access-Control-Allow-Origin",
                f"{BROWSERS} may not ask",
                "leave the preflights of these endpoints to the server",
                is_in_the_way=False,
            )


def _check_refusal(name: str, answer: Answered) -> Iterator[Finding]:
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    if answer.is_redirect:
        yield Finding(
            f"{name}: {answer}",
            "a POST that is redirected loses its body",
            "serve it without a redirect (of slashes, of hosts, to https, to a login page)",
        )
    elif answer.status == 429 or (answer.status == 503 and error == "temporarily_unavailable"):
        yield Finding(
            f"{name}: {answer}",
            f"nobody gets {'tokens' if name.startswith('token') else 'an id'} just now",
            "see the log of the application: its store of counts or of connections may be away",
        )
    elif answer.status not in (400, 401) or not isinstance(error, str):
        yield Finding(
            f"{name}: {answer}: no error of OAuth in JSON",
            "the TypeScript SDK opens the browser for every answer that it cannot read; an "
            "answer like this is usually one of CSRF protection, of a login or of a bot wall",
            "let the server itself answer at this URL",
        )
