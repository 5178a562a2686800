"""Finds the client that an id stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic_core import from_json

from mcp_mount.auth.authorization.clients import ClientRefused, OAuthClient, read_metadata
from mcp_mount.auth.authorization.errors import PageError
from mcp_mount.auth.authorization.events import Events, SignInEvent
from mcp_mount.auth.authorization.fetching import (
    DocumentRefused,
    check_document_url,
    fetch_document,
)
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.calls.flows import Flow, Run
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount.signin")

_MAX_KEPT: Final = 256
"""How many documents are kept."""

_NO_CLIENT: Final = (
    "This assistant is not registered here. Remove the connection in your assistant and add it "
    "again."
)

Fetch = Callable[[str], tuple[bytes, float]]


class ClientLookup:
    """Finds clients by their ids.

    Args:
        seals: Opens the ids of clients that have registered themselves.
        configured: The clients that the application's owner has configured, by their ids.
        reads_documents: Whether ids that are URLs are looked up (Client ID Metadata Documents).
        events: Is told.
        fetch: Reads a document.
    """

    def __init__(
        self,
        seals: Seals,
        configured: Mapping[str, OAuthClient],
        events: Events,
        *,
        reads_documents: bool = True,
        fetch: Fetch = fetch_document,
    ) -> None:
        self._seals = seals
        self._configured = configured
        self._reads_documents = reads_documents
        self._events = events
        self._fetch = fetch
        self._documents: dict[str, tuple[float, OAuthClient]] = {}

    def is_known(self, client_id: str) -> bool:
        """Whether an id may be that of a client, as far as can be said without its document."""
        if client_id in self._configured or self._seals.open_client_id(client_id) is not None:
            return True
        if not self.needs_document(client_id):
            return False
        try:
            check_document_url(client_id)
        except DocumentRefused:
            return False
        return True

    def needs_document(self, client_id: str) -> bool:
        """Whether the client of an id is known only by a document that it publishes."""
        return (
            self._reads_documents
            and client_id.startswith("https://")
            and (client_id not in self._configured)
        )

    def find(self, client_id: str, address: str | None) -> Flow[OAuthClient]:
        """The client of an id.

        Args:
            client_id: The id.
            address: The address of the browser.

        Raises:
            PageError: If there is none.
        """
        client = self._configured.get(client_id)
        if client is None and (held := self._seals.open_client_id(client_id)) is not None:
            client = OAuthClient(client_id, held[0], held[1], uri=held[2])
        if client is None and self.needs_document(client_id):
            client = yield from self._published(client_id, address)
        if client is None:
            raise PageError(_NO_CLIENT)
        return client

    def _published(self, url: str, address: str | None) -> Flow[OAuthClient]:
        """The client whose metadata are at a URL, which is its id
        (draft-ietf-oauth-client-id-metadata-document)."""
        expires, known = self._documents.get(url, (0.0, None))
        if known is not None and expires > monotonic():
            return known
        try:
            check_document_url(url)
            body, ttl = yield Run(partial(self._fetch, url))
            client = _client_of(url, body)
        except (DocumentRefused, ClientRefused) as error:
            self._events.tell(
                SignInEvent("document refused", client=url, address=address, detail=str(error))
            )
            raise PageError(
                f"The assistant's own description at {url[:200]} cannot be used: {error}"
            ) from None
        self._events.tell(
            SignInEvent(
                "document fetched", client=client.name, client_host=client.host, address=address
            )
        )
        if len(self._documents) >= _MAX_KEPT:
            self._documents.clear()
        self._documents[url] = (monotonic() + ttl, client)
        return client


def _client_of(url: str, body: bytes) -> OAuthClient:
    """The client that a document describes.

    Raises:
        ClientRefused: If it is none, or names another URL as its id.
    """
    try:
        document: Any = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise ClientRefused("invalid_client_metadata", "The document is no JSON") from None
    metadata = read_metadata(document)
    if document.get("client_id") != url:
        raise ClientRefused("invalid_client_metadata", "The document is for another client_id")
    method = document.get("token_endpoint_auth_method", "none")
    others = document.get("token_endpoint_auth_methods_supported")
    if method != "none" and not (isinstance(others, list) and "none" in others):
        # It would be taken for whoever says its name (draft, section 6.2).
        raise ClientRefused("invalid_client_metadata", "The client cannot do without a key")
    if "client_secret" in document or "client_secret_expires_at" in document:
        raise ClientRefused("invalid_client_metadata", "The document has a secret in it")
    uris: Sequence[str] = metadata.redirect_uris
    return OAuthClient(
        url, metadata.name, uris, host=urlsplit(url).hostname or "", uri=metadata.uri
    )
