"""Clients: what an id stands for, be it registered here, published by the client, or configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from mcp_mount.auth.authorization.redirects import RedirectRefused, check_redirect_uri
from mcp_mount.auth.signing_keys import KeyFinder

MAX_REDIRECT_URIS: Final = 20
MAX_NAME: Final = 100

GRANTS: Final = ("authorization_code", "refresh_token")


class ClientRefused(ValueError):
    """Client metadata that are not accepted.

    Args:
        error: The error code of RFC 7591, section 3.2.2.
        description: For people, in plain ASCII.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client of the authorization server.

    Attributes:
        id: Its id, as it sends it.
        name: What it calls itself.
        redirect_uris: Where codes may be sent.
        host: The host that published its metadata; None where nobody vouches for its name.
        uri: Its home page, if it names one.
        scopes: What it may ask for; None for all that there is.
        keys: The keys with which it signs, if its document says that it authenticates.
        algorithm: The algorithm by which it signs, if its document says so.
    """

    id: str
    name: str
    redirect_uris: Sequence[str]
    host: str | None = None
    uri: str | None = None
    scopes: frozenset[str] | None = None
    keys: KeyFinder | None = None
    algorithm: str | None = None

    @property
    def digest(self) -> str:
        """Tells it apart from others, in what is kept and sealed."""
        return digest_of(self.id)


def digest_of(client_id: str) -> str:
    """The digest of a client's id."""
    return sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """What is read of a client's metadata (RFC 7591, section 2).

    Attributes:
        redirect_uris: Where codes may be sent.
        name: What it calls itself; "" if it does not say.
        uri: Its home page, if it names one.
        echoed: What a registration response repeats besides: all that was sent and is understood.
    """

    redirect_uris: tuple[str, ...]
    name: str
    uri: str | None
    echoed: Mapping[str, Any] = field(default_factory=dict)


_TEXTS: Final = (
    "client_name",
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "scope",
    "software_id",
    "software_version",
)


def read_metadata(
    document: Any, admits: Callable[[str], bool] = lambda uri: True
) -> ClientMetadata:
    """Check client metadata: of a registration, or of a document that the client publishes.

    What is not known is ignored (RFC 7591, section 2). Every client is a public one: a secret or a
    key that it asks for is not given, which the response says by the method "none" (section 3.2.1).

    Args:
        document: The metadata, a JSON value.
        admits: Whether codes may be sent to a redirect URI.

    Raises:
        ClientRefused: For metadata that are not accepted.
    """
    if not isinstance(document, dict):
        raise ClientRefused("invalid_client_metadata", "Client metadata are a JSON object")
    uris = document.get("redirect_uris")
    if not isinstance(uris, list) or not uris or not all(isinstance(one, str) for one in uris):
        raise ClientRefused("invalid_redirect_uri", "redirect_uris is a list of strings")
    if len(uris) > MAX_REDIRECT_URIS:
        raise ClientRefused(
            "invalid_redirect_uri", f"There are more than {MAX_REDIRECT_URIS} redirect URIs"
        )
    # One that is refused is left out, which the response says (RFC 7591, section 3.2.1): clients
    # name a pattern, or the scheme of another product, beside those that they use.
    good: list[str] = []
    problem = ""
    for one in uris:
        try:
            check_redirect_uri(one)
        except RedirectRefused as error:
            problem = problem or str(error)
        else:
            if admits(one):
                good.append(one)
            else:
                problem = problem or "A redirect URI is not admitted by this server"
    if not good:
        raise ClientRefused("invalid_redirect_uri", problem)
    uris = list(dict.fromkeys(good))
    for name, supported in (("grant_types", GRANTS), ("response_types", ("code",))):
        wanted = document.get(name)
        if wanted is None:
            continue
        if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
            raise ClientRefused("invalid_client_metadata", f"{name} is a list of strings")
        if supported[0] not in wanted:
            raise ClientRefused(
                "invalid_client_metadata", f"{name} must have {supported[0]}: nothing else is here"
            )
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = document.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise ClientRefused("invalid_client_metadata", f"{name} is a string")
        if value:
            # An empty one breaks the TypeScript clients when it comes back.
            texts[name] = value
    name = _shown(texts.get("client_name", ""))
    uri = texts.get("client_uri")
    contacts = document.get("contacts")
    if isinstance(contacts, list) and contacts and all(isinstance(one, str) for one in contacts):
        return ClientMetadata(tuple(uris), name, _web(uri), {**texts, "contacts": contacts})
    return ClientMetadata(tuple(uris), name, _web(uri), texts)


def _shown(name: str) -> str:
    """A name as pages, logs and databases have it: on one line, and without characters that turn
    its direction around or that PostgreSQL refuses. Words of Persian and of emoji have joiners."""
    kept = (one for one in " ".join(name.split()) if one.isprintable() or one in "\u200c\u200d")
    return "".join(kept)[:MAX_NAME]


def _web(uri: str | None) -> str | None:
    """A home page that may be a link on our pages."""
    if uri is None or not uri.startswith("https://") or len(uri) > 500:
        return None
    try:
        return uri if urlsplit(uri).hostname else None
    except ValueError:
        return None
