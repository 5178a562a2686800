"""The whole OAuth flow: the official client, a real authorization server, every host."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import httpx2
import pytest

from sample_projects.processes import Together
from tests.auth.conftest import Serve, issuing, serving
from tests.auth.oauth import Person, connected, run

WELL_KNOWN = "/.well-known/oauth-protected-resource"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_logs_in(guarded: str, mode: str) -> None:
    person = Person()

    async def session() -> tuple[list[str], str]:
        async with connected(guarded, person, mode) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool("whoami", {})
            return tools, result.content[0].text  # type: ignore[union-attr]

    assert run(session) == (["whoami"], "ada: orders:read")
    # The scope came with the challenge, the resource is the very endpoint.
    assert person.scopes() == ["orders:read"]
    assert f"resource={guarded.replace(':', '%3A').replace('/', '%2F')}" in person.visited[0]


@pytest.mark.parametrize("host", ["standalone", "flask", "django-asgi"])
def test_the_official_client_gets_more_scopes_when_a_tool_needs_them(
    host: str, serve: Serve
) -> None:
    person = Person()

    async def session() -> str:
        async with connected(serve(host, "jwt"), person) as client:
            await client.call_tool("whoami", {})
            result = await client.call_tool("cancel_order", {"number": 7})
            return result.content[0].text  # type: ignore[union-attr]

    assert run(session) == "ada cancelled 7"
    assert person.scopes()[0] == "orders:read"
    assert set(person.scopes()[1].split()) == {"orders:read", "orders:write"}


@pytest.mark.parametrize("host", ["standalone", "flask", "django-wsgi"])
def test_opaque_tokens_are_introspected(host: str, serve: Serve, issuers: dict[str, str]) -> None:
    person = Person()
    url = serve(host, "opaque")

    async def session() -> str:
        async with connected(url, person) as client:
            return (await client.call_tool("whoami", {})).content[0].text  # type: ignore[union-attr]

    assert run(session) == "ada: orders:read"
    headers = {"authorization": f"Bearer {person.tokens.access_token}"}
    httpx2.post(f"{issuers['opaque']}/revoke_all")
    # What was said of it is believed for 0.2 s.
    deadline = time.monotonic() + 60
    while (answer := httpx2.post(url, json={}, headers=headers)).status_code != 401:
        assert time.monotonic() < deadline, answer.status_code
        time.sleep(0.02)
    assert (
        'error_description="The access token is not active"' in answer.headers["www-authenticate"]
    )


def test_the_metadata_are_where_the_challenge_says(guarded: str, issuers: dict[str, str]) -> None:
    answer = httpx2.post(guarded, json={}, follow_redirects=True)
    assert answer.status_code == 401
    parts = urlsplit(guarded)
    root = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
    below = f"{guarded}{WELL_KNOWN}"
    header = answer.headers["www-authenticate"]
    shown = header.partition('resource_metadata="')[2].partition('"')[0]
    assert header == f'Bearer resource_metadata="{shown}", scope="orders:read"'
    document = httpx2.get(shown)
    assert document.status_code == 200
    assert document.headers["access-control-allow-origin"] == "*"
    assert document.json() == {
        "resource": guarded,
        "authorization_servers": [issuers["jwt"]],
        "bearer_methods_supported": ["header"],
        "resource_name": "orders",
        "scopes_supported": ["orders:read"],
    }
    # By RFC 9728 at the root of the domain, where the host is ours to add a route to.
    is_bare = httpx2.get(root).status_code != 200
    assert shown == (below if is_bare else root)


def test_only_a_bare_mount_has_its_metadata_elsewhere(serve: Serve) -> None:
    for host, expected in (("fastapi-bare-mount", 404), ("fastapi", 200), ("django-wsgi", 200)):
        parts = urlsplit(serve(host, "jwt"))
        root = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
        assert httpx2.get(root).status_code == expected, host


def test_a_token_for_one_server_is_refused_by_all_others(serve: Serve) -> None:
    person = Person()

    async def log_in() -> None:
        async with connected(serve("standalone", "jwt"), person) as client:
            await client.call_tool("whoami", {})

    run(log_in)
    headers = {"authorization": f"Bearer {person.tokens.access_token}"}
    for host in ("flask", "django-wsgi", "django-asgi", "fastapi"):
        answer = httpx2.post(serve(host, "jwt"), json={}, headers=headers)
        assert answer.status_code == 401, host
        assert "The access token is for another resource" in answer.headers["www-authenticate"]


def test_rotated_keys_are_found() -> None:
    # Other tests expect the keys of their issuer to stay.
    with Together() as stack:
        issuer = issuing(stack, "jwt")
        url = serving(stack, "standalone", "jwt", issuer)

        async def log_in() -> str:
            async with connected(url, Person()) as client:
                return (await client.call_tool("whoami", {})).content[0].text  # type: ignore[union-attr]

        assert run(log_in) == "ada: orders:read"
        httpx2.post(f"{issuer}/rotate")
        # New keys are looked up, but not more often than every ten seconds.
        deadline = time.monotonic() + 60
        while True:
            try:
                assert run(log_in) == "ada: orders:read"
            except BaseException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                break
