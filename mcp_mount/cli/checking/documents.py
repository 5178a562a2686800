"""Checks of the documents that clients look for: where they are, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp_mount.auth.authorization.grants import canonical
from mcp_mount.cli.checking.asking import AGENT, Answered
from mcp_mount.cli.checking.discovery import (
    Discovery,
    is_loopback,
    is_same,
    issuer_of,
    parts_of,
    server_places,
)
from mcp_mount.cli.checking.findings import (
    BROWSERS,
    EVERY,
    HOSTED,
    PROXY,
    STRICT,
    TYPESCRIPT,
    Finding,
)

_AGENTS: Final = ("node", "Claude-User", "openai-mcp/1.0.0", "Mozilla/5.0")
"""How other clients introduce themselves."""

_MOUNT: Final = (
    "serve these paths by the server: mount() in FastAPI and Starlette, MCPMount in Flask, "
    'include("mcp_mount_django.well_known") first in the URLs of Django; let a proxy pass '
    "/.well-known/ on"
)


def check_places(discovery: Discovery) -> Iterator[Finding]:
    """Check what is answered where clients look for documents."""
    named = discovery.resource_metadata
    places = [*([named] if named else []), *discovery.resource_places().values()]
    for place in dict.fromkeys([*places, *server_places(discovery.issuer)]):
        yield from _check_place(discovery.asker.get(place))
    yield from _check_agents(discovery, named or discovery.resource_places()["path"])


def _check_place(answer: Answered) -> Iterator[Finding]:
    if answer.problem or answer.status >= 500:
        yield Finding(
            str(answer),
            "the official Python client stops looking then, and TypeScript ones raise an error",
            "answer 404 for documents that are not there; see the log of the application",
        )
    elif answer.is_redirect:
        yield Finding(
            str(answer),
            "documents are looked for at this very URL; not every client follows, least of all to "
            "a login page or another host",
            f"leave /.well-known/ out of redirects and logins; {_MOUNT}",
        )
    elif answer.status in (401, 403, 429):
        yield Finding(
            f"{answer}{_server(answer)}",
            f"clients read documents without a login; {HOSTED} ask from data centres",
            "let a firewall, CDN or bot wall, and the application's own login, pass /.well-known/",
        )
    elif answer.status == 200 and answer.document is None:
        yield Finding(
            f"{answer}: a page, and no JSON document",
            f"{TYPESCRIPT} end at a page where a document may be",
            f"answer 404 in JSON there, before a route for all paths; {_MOUNT}",
        )
    elif answer.document is not None:
        yield from _check_served(answer)


def _check_served(answer: Answered) -> Iterator[Finding]:
    origins = answer.values("access-control-allow-origin")
    if origins != ["*"]:
        twice = len(origins) > 1 or "," in (origins or [""])[0]
        yield Finding(
            f"{answer.url} has the header Access-Control-Allow-Origin "
            f"{'twice' if twice else 'not' if not origins else repr(origins[0])}",
            f"{BROWSERS} cannot read it",
            "leave CORS of /.well-known/ to the server, which sends the header once",
            is_in_the_way=False,
        )
    document = answer.document or {}
    empty = [name for name, value in document.items() if value in (None, "", [])]
    if empty:
        yield Finding(
            f"{answer.url} has members without a value: {', '.join(empty)}",
            f"{TYPESCRIPT} refuse, or silently drop, such a document (RFC 8414, section 3.2)",
            "leave these members out",
        )


def _check_agents(discovery: Discovery, place: str) -> Iterator[Finding]:
    """Check that no bot wall tells clients apart by how they introduce themselves."""
    usual = discovery.asker.get(place)
    for agent in _AGENTS:
        other = discovery.asker.get(place, agent=agent)
        if other.status != usual.status:
            yield Finding(
                f"GET {place} answers {usual.status} to {AGENT!r}, and {other.status} to "
                f"{agent!r}{_server(other)}",
                "a bot wall stops clients of one kind",
                "let it pass /.well-known/, the MCP endpoint, and the endpoints for clients",
            )
            return


def _server(answer: Answered) -> str:
    server = answer.header("server")
    return f", by {server}" if server else ""


def check_resource(discovery: Discovery) -> Iterator[Finding]:
    """Check what the metadata of the resource say (RFC 9728)."""
    document = discovery.resource
    if not document:
        yield Finding(
            "No document describes the server (RFC 9728)",
            f"{EVERY} looks for it, to learn who issues tokens",
            _MOUNT,
        )
        return
    found = document.get("resource")
    if not is_same(found, discovery.url):
        yield Finding(
            f"resource is {found!r}, and the server was asked at {discovery.url!r}",
            "VS Code drops a document for another URL, and others ask for tokens that are for "
            "that URL",
            f"give clients that very URL; {PROXY}",
        )
    if issuer_of(document) is None:
        yield Finding(
            "The document names no authorization_servers",
            f"{EVERY} takes the first of them",
            "give the server auth=SignIn(…), or JWT and Introspection their issuer",
        )


def check_server(discovery: Discovery) -> Iterator[Finding]:
    """Check what the metadata of the authorization server say (RFC 8414)."""
    document = discovery.server
    if not document:
        yield Finding(
            f"No document describes the authorization server {discovery.issuer!r} (RFC 8414)",
            f"{EVERY} looks for it; Claude.ai and VS Code guess /authorize, /token, /register",
            f"{_MOUNT}; below a prefix, see docs/signing-in.md, The root of the domain",
        )
        return
    issuer = document.get("issuer")
    if issuer != discovery.issuer:
        yield Finding(
            f"The issuer is {issuer!r}, and the server names {discovery.issuer!r}",
            f"{STRICT} compare the two as strings, and stop",
            f"one name for both; {PROXY}",
        )
    yield from _check_endpoints(discovery, document)
    yield from _check_abilities(document)


def _check_endpoints(discovery: Discovery, document: Mapping[str, Any]) -> Iterator[Finding]:
    wanted = ("authorization_endpoint", "token_endpoint")
    for name in (*wanted, "registration_endpoint", "revocation_endpoint"):
        url = document.get(name)
        if not isinstance(url, str):
            if name in wanted:
                yield Finding(f"{name} is missing", f"{EVERY} needs it", "add it")
            continue
        if parts_of(url).scheme != "https" and not is_loopback(url):
            yield Finding(
                f"{name} is {url!r}: not https",
                f"{HOSTED} and the TypeScript SDK refuse it, and anybody on the way reads codes",
                PROXY,
            )
        elif canonical(url).split("/")[:3] != canonical(discovery.issuer).split("/")[:3]:
            yield Finding(
                f"{name} is {url!r}: on another host than the issuer",
                "clients for enterprise-managed authorization want the issuer's origin",
                PROXY,
                is_in_the_way=False,
            )


def _check_abilities(document: Mapping[str, Any]) -> Iterator[Finding]:
    def names(member: str) -> list[Any]:
        found = document.get(member)
        return found if isinstance(found, list) else []

    if "S256" not in names("code_challenge_methods_supported"):
        yield Finding(
            "code_challenge_methods_supported has no S256",
            f"{STRICT} refuse a server without PKCE",
            "use an authorization server with PKCE, and let it say so",
        )
    if "code" not in names("response_types_supported"):
        yield Finding(
            "response_types_supported has no code", f"{TYPESCRIPT} stop", "add the member"
        )
    if document.get("client_id_metadata_document_supported") is True:
        if "none" not in names("token_endpoint_auth_methods_supported"):
            yield Finding(
                'token_endpoint_auth_methods_supported has no "none"',
                "Claude and Codex do not use their metadata documents then, and register",
                'list "none"',
                is_in_the_way=False,
            )
    elif not isinstance(document.get("registration_endpoint"), str):
        yield Finding(
            "Clients can neither publish their metadata (CIMD) nor register (DCR)",
            f"{EVERY} that nobody has configured stays unknown",
            "set cimd=True or registration=True in SignIn",
        )
    if document.get("authorization_response_iss_parameter_supported") is not True:
        yield Finding(
            "Answers of the authorization server do not name it (RFC 9207)",
            "a client of several servers can be led to send a code of one to another",
            "use an authorization server that sends iss",
            is_in_the_way=False,
        )
