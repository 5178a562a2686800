"""How each client finds its way from the URL of a server to its authorization server.

The orders are those of the clients in November 2026. What is known from reports only, since the
client is not open, is marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mcp_mount.cli.checking.discovery import Discovery, is_same, issuer_of, server_places


@dataclass(frozen=True, slots=True)
class ClientHabits:
    """How a client looks.

    Attributes:
        name: The client.
        challenge: Whether it goes to the URL that the challenge names.
        only_challenge: Whether it looks nowhere else then.
        places: Where it looks besides for the metadata of the resource.
        ends_at_pages: Whether an HTML page, where it looks for a document, is its end.
        ends_at_errors: Whether a status of 500 and more is its end.
        exact: Whether `resource` must be the very URL that it was given.
        checks_issuer: Whether the issuer must be the very string that led there.
        root_only: Whether it looks for an authorization server at the origin only.
        needs_none: Whether it wants the method "none" listed to use its metadata document.
        reads_documents: Whether it has a metadata document.
        is_reported: Whether this is known from reports of some of its versions only.
    """

    name: str
    challenge: bool = True
    only_challenge: bool = False
    places: Sequence[str] = ("path", "root")
    ends_at_pages: bool = False
    ends_at_errors: bool = True
    exact: bool = False
    checks_issuer: bool = True
    root_only: bool = False
    needs_none: bool = False
    reads_documents: bool = True
    is_reported: bool = False


_TYPESCRIPT: Final[dict[str, Any]] = {"only_challenge": True, "ends_at_pages": True}

CLIENTS: Final = (
    ClientHabits("Claude.ai", needs_none=True, checks_issuer=False),
    # Reports say that it follows neither the challenge nor an issuer with a path.
    ClientHabits(
        "Claude Code",
        challenge=False,
        places=("root",),
        root_only=True,
        needs_none=True,
        is_reported=True,
    ),
    ClientHabits("ChatGPT"),
    ClientHabits("VS Code", exact=True, ends_at_errors=False, checks_issuer=False),
    ClientHabits("Cursor", reads_documents=False, **_TYPESCRIPT),
    ClientHabits("MCP Inspector", challenge=False, ends_at_pages=True),
    ClientHabits("FastMCP"),
    ClientHabits("Python SDK"),
    ClientHabits("TypeScript SDK", **_TYPESCRIPT),
)


@dataclass
class Walk:
    """The way of one client.

    Attributes:
        client: The client.
        way: What it has read, in order.
        problem: Where it ended; "" if it arrived.
    """

    client: ClientHabits
    way: list[str] = field(default_factory=list)
    problem: str = ""


class _Ended(Exception):
    """A client goes no further."""


def walk(client: ClientHabits, discovery: Discovery) -> Walk:
    """Go the way of a client.

    Args:
        client: The client.
        discovery: The server.
    """
    done = Walk(client)
    try:
        resource = _resource(done, discovery)
        issuer = issuer_of(resource) or discovery.origin
        if client.root_only and issuer != discovery.origin:
            raise _Ended(f"it looks at {discovery.origin} only, and the issuer is {issuer}")
        server = _document(done, discovery, server_places(issuer))
        if server is None:
            raise _Ended(f"no document describes the authorization server {issuer}")
        if client.checks_issuer and not _is_issuer(server.get("issuer"), issuer):
            raise _Ended(
                f"the issuer {server.get('issuer')!r} is not the one looked for, {issuer!r}"
            )
        done.way.append(_registration(client, server))
    except _Ended as error:
        done.problem = str(error)
    return done


def _resource(done: Walk, discovery: Discovery) -> Mapping[str, Any]:
    """The metadata of the resource; none, if there are none that the client takes."""
    client, named = done.client, discovery.resource_metadata
    places = [discovery.resource_places()[one] for one in client.places]
    if client.challenge and named is not None:
        places = [named] if client.only_challenge else [named, *places]
    found = _document(done, discovery, [*dict.fromkeys(places)])
    if found is None:
        if not client.challenge and client.places == ("root",):
            return {}
        raise _Ended(f"no document describes the server (looked at {', '.join(places)})")
    if client.exact and not is_same(found.get("resource"), discovery.url):
        raise _Ended(f"resource is {found.get('resource')!r}, and not the URL that it was given")
    return found


def _document(done: Walk, discovery: Discovery, places: Sequence[str]) -> Mapping[str, Any] | None:
    """The first document at some places."""
    for place in places:
        answer = discovery.asker.get(place)
        if answer.is_redirect:
            # They follow some, within the origin.
            answer = discovery.asker.get(answer.location)
        if answer.document is not None:
            done.way.append(place)
            return answer.document
        if answer.problem or (answer.status >= 500 and done.client.ends_at_errors):
            raise _Ended(str(answer))
        if answer.status == 200 and done.client.ends_at_pages:
            raise _Ended(str(answer))
    return None


def _is_issuer(found: Any, wanted: str) -> bool:
    return isinstance(found, str) and found.rstrip("/") == wanted.rstrip("/")


def _registration(client: ClientHabits, server: Mapping[str, Any]) -> str:
    """How a client gets its id."""
    methods = server.get("token_endpoint_auth_methods_supported")
    has_none = isinstance(methods, list) and "none" in methods
    takes_documents = server.get("client_id_metadata_document_supported") is True
    if takes_documents and client.reads_documents and (has_none or not client.needs_none):
        return "its metadata document (CIMD)"
    if isinstance(server.get("registration_endpoint"), str):
        return "registration (DCR)"
    raise _Ended("it cannot register: neither metadata documents nor registration are supported")


def walks(discovery: Discovery) -> Iterator[Walk]:
    """Go the ways of all clients.

    Args:
        discovery: The server.
    """
    for client in CLIENTS:
        yield walk(client, discovery)
