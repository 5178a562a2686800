"""Finds the client that an id stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic_core import from_json

from mcp_mount.auth.authorization.clients import ClientRefused, OAuthClient, read_metadata
from mcp_mount.auth.authorization.configured_clients import Client
from mcp_mount.auth.authorization.errors import PageError
from mcp_mount.auth.authorization.events import Events, SignInEvent
from mcp_mount.auth.authorization.fetching import (
    DocumentRefused,
    check_document_url,
    fetch_document,
)
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.http import Unreachable
from mcp_mount.auth.signing_keys import FixedKeys, KeyFinder, SigningKeys, usable_keys
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
        verifies_keys: Whether clients may authenticate by the keys that their documents name.
        events: Is told.
        fetch: Reads a document.
    """

    def __init__(
        self,
        seals: Seals,
        configured: Mapping[str, Client],
        events: Events,
        *,
        reads_documents: bool = True,
        verifies_keys: bool = False,
        fetch: Fetch = fetch_document,
    ) -> None:
        self._seals = seals
        self._configured = configured
        self._reads_documents = reads_documents
        self._verifies_keys = verifies_keys
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

    def configured(self, client_id: str) -> Client | None:
        """The client that the application's owner has configured under an id."""
        return self._configured.get(client_id)

    def find(
        self, client_id: str, address: str | None, own_host: str | None = None
    ) -> Flow[OAuthClient]:
        """The client of an id.

        Args:
            client_id: The id.
            address: The address of the browser.
            own_host: The host of the application, which vouches for what its owner has configured.

        Raises:
            PageError: If there is none.
        """
        own = self._configured.get(client_id)
        client = None if own is None else own.as_oauth(own_host)
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
            client = self._described(url, body)
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

    def _described(self, url: str, body: bytes) -> OAuthClient:
        """The client that a document describes.

        Raises:
            ClientRefused: If it is none, or names another URL as its id.
        """
        document = _read(body)
        metadata = read_metadata(document)
        if document.get("client_id") != url:
            raise ClientRefused("invalid_client_metadata", "The document is for another client_id")
        if "client_secret" in document or "client_secret_expires_at" in document:
            raise ClientRefused("invalid_client_metadata", "The document has a secret in it")
        client = OAuthClient(
            url,
            metadata.name,
            metadata.redirect_uris,
            host=urlsplit(url).hostname or "",
            uri=metadata.uri,
        )
        method = document.get("token_endpoint_auth_method", "none")
        others = document.get("token_endpoint_auth_methods_supported")
        keys = self._keys(url, document) if method == "private_key_jwt" else None
        if keys is not None:
            algorithm = document.get("token_endpoint_auth_signing_alg")
            return replace(
                client, keys=keys, algorithm=algorithm if isinstance(algorithm, str) else None
            )
        if method != "none" and not (isinstance(others, list) and "none" in others):
            # It would be taken for whoever says its name (draft, section 6.2).
            raise ClientRefused("invalid_client_metadata", "The client cannot do without a key")
        return client

    def _keys(self, url: str, document: Mapping[str, Any]) -> KeyFinder | None:
        """The keys of a client; None if they are not to be verified here, or cannot be.

        Args:
            url: The URL of the client.
            document: Its metadata.
        """
        own, uri = document.get("jwks"), document.get("jwks_uri")
        if not self._verifies_keys or (own is None) == (uri is None):
            # RFC 7591, section 2: one of the two.
            return None
        if isinstance(own, Mapping):
            try:
                found = usable_keys(own, url)
            except Unreachable:
                return None
            return FixedKeys(found) if found else None
        try:
            check_document_url(uri if isinstance(uri, str) else "")
        except DocumentRefused:
            return None
        return SigningKeys(url, partial(self._key_set, str(uri)))

    def _key_set(self, uri: str) -> Mapping[str, Any]:
        """The JWK Set at a URL that a stranger has named, fetched as documents are.

        Raises:
            Unreachable: If there is none.
        """
        try:
            document = _read(self._fetch(uri)[0])
        except (DocumentRefused, ClientRefused) as error:
            raise Unreachable(str(error)) from None
        if not isinstance(document, dict):
            raise Unreachable("it is no JSON object")
        return document


def _read(body: bytes) -> Any:
    """A document.

    Raises:
        ClientRefused: If it is no JSON.
    """
    try:
        return from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError):
        raise ClientRefused("invalid_client_metadata", "The document is no JSON") from None
