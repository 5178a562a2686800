"""The official client with its OAuth flow, and a browser that agrees to everything."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

REDIRECT = "http://127.0.0.1:1/callback"


class Person:
    """Keeps the tokens of a client, and goes where it is sent."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None
        self.visited: list[str] = []

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info

    async def visit(self, url: str) -> None:
        self.visited.append(url)

    async def come_back(self) -> AuthorizationCodeResult:
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(self.visited[-1])
        assert answer.status_code == 302, answer.text
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0])

    def scopes(self) -> list[str]:
        """The scopes that each visit asked for."""
        return [
            parse_qs(urlsplit(url).query).get("scope", [""])[0].replace("+", " ")
            for url in self.visited
        ]


@asynccontextmanager
async def connected(
    url: str,
    person: Person,
    mode: str = "auto",
    redirect: str = REDIRECT,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Client]:
    metadata = OAuthClientMetadata(client_name="tests", redirect_uris=[redirect])  # type: ignore[list-item]
    provider = OAuthClientProvider(url, metadata, person, person.visit, person.come_back)
    async with (
        httpx2.AsyncClient(auth=provider, timeout=60, verify=trust or True) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,  # type: ignore[arg-type]
    ):
        yield client


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    async def limited() -> Any:
        with anyio.fail_after(60):
            return await function(*arguments)

    return anyio.run(limited)
