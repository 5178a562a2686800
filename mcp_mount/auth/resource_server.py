"""The OAuth 2.1 resource server: lets requests in by their credentials, and tells clients where to
get some (basic/authorization; RFC 6750, RFC 9728)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mcp_mount.auth.users import user_of
from mcp_mount.auth.verifiers import InvalidToken, Issuer, Verifier, secure_url
from mcp_mount.calls.flows import Flow
from mcp_mount.protocol.settings import Settings, challenge_header
from mcp_mount.schemas.permissions import Names
from mcp_mount.wire.errors import (
    Challenge,
    ProtocolError,
    access_denied,
    invalid_token,
)
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Request
from mcp_mount.wire.resource_metadata import WELL_KNOWN
from mcp_mount.wire.rules import scopes_of
from mcp_mount.wire.tokens import AccessToken, tokens_of_tests

logger = own_logger("mcp_mount")


class ResourceServer:
    """Authenticates the requests of one server by their credentials (RFC 6750).

    Args:
        verifiers: The kinds of credentials that are accepted.
        settings: The settings of the server.
        required: Whether requests without credentials are refused; otherwise they are anonymous, or
            the host knows their user.
        resource: The URL of the MCP endpoint, as clients write it; by default that of the request,
            if its host name is configured.
        hierarchy: Scopes that imply others, which imply others in turn.
        find_user: Finds the user of an access token, for the host's own request.
        has_root: Whether the host serves metadata for a path at the root of its domain.

    Attributes:
        needs_url: Whether tokens must be for the URL of the request.
    """

    def __init__(
        self,
        verifiers: Sequence[Verifier],
        settings: Settings,
        *,
        required: bool = True,
        resource: str | None = None,
        hierarchy: Mapping[str, Names] | None = None,
        has_root: Callable[[str], bool] = lambda path: False,
        find_user: Callable[[AccessToken], Any] | None = None,
    ) -> None:
        self.required = required
        self.resource = None if resource is None else secure_url(resource, "resource")
        self._verifiers = verifiers
        self._authorization_servers = [
            url for one in verifiers for url in one.authorization_servers
        ]
        self._issuers = [one for one in verifiers if isinstance(one, Issuer)]
        self.needs_url = resource is None and any(one.needs_resource for one in verifiers)
        self._settings = settings
        self._implied = _closed(hierarchy or {})
        self._has_root = has_root
        self._find_user = find_user
        self._warned = False
        headers = [getattr(one, "header", None) for one in verifiers]
        self._key_header = next(filter(None, headers), None)
        self._takes_tokens = None in headers

    def admit(self, request: Request) -> Flow[None]:
        """Find out who sends a request: it knows its token and its caller from now on.

        Args:
            request: The request.

        Raises:
            ProtocolError: 401 for missing and for wrong credentials, 503 if they cannot be verified
                now.
        """
        if (known := _of_test(request)) is not None:
            yield from self._let_in(request, known, self._verifiers[0])
            return
        problem: InvalidToken | None = None
        resource = self._own_url(request)
        for verifier in self._verifiers:
            credential = verifier.credential(request.headers)
            if credential is None:
                continue
            try:
                token = yield from verifier.verify(credential, resource)
            except InvalidToken as error:
                problem = error
            except ProtocolError:
                raise
            except Exception:
                # Perhaps the credentials are of a form that a user's function did not expect.
                logger.exception("Credentials could not be verified, so they are refused")
                problem = InvalidToken("The credentials could not be verified")
            else:
                yield from self._let_in(request, token, verifier)
                return
        if problem is not None:
            raise invalid_token(str(problem))
        if self.required:
            raise access_denied(
                known=False, scopes=scopes_of(self._settings.rules), wanted=self._wanted()
            )

    def restore(self, request: Request, token: AccessToken) -> Flow[None]:
        """Note on a request that stands for an earlier one what that had sent: the user is found
        anew.

        Args:
            request: The request.
            token: The token of the earlier one.

        Raises:
            ProtocolError: 401, if it is of nobody here any more.
        """
        find = self._find_user
        if find is None:
            url = self.resource or request.url() or ""
            own = (one.find_user for one in self._issuers if one.issuer_at(url) == token.issuer)
            find = next(own, None)
        user: Any = None
        if find is not None and not token.is_client:
            user = yield from user_of(token, find)
        request.token = token
        request.on_token(token, user)

    def _wanted(self) -> str | None:
        """What to send, for somebody who has sent nothing."""
        if self._key_header is None:
            return None
        key = f"an API key in the header {self._key_header}"
        return f"send an access token, or {key}" if self._takes_tokens else f"send {key}"

    def decides(self, request: Request) -> bool:
        """Whether it is not for the host to know who sends a request."""
        return (
            self.required
            or _of_test(request) is not None
            or any(one.credential(request.headers) is not None for one in self._verifiers)
        )

    def challenge(self, request: Request, challenge: Challenge) -> str:
        """The WWW-Authenticate header for a refusal."""
        if self._key_header is not None and not self._takes_tokens:
            # A client that reads "Bearer" looks for an authorization server.
            own = f'ApiKey header="{self._key_header}"'
            if challenge.error != "insufficient_scope":
                return own
            return f'{own}, error="insufficient_scope", scope="{" ".join(challenge.scopes)}"'
        if not self.has_servers:
            return challenge_header(challenge, {})
        asked = request.url()
        url = self.resource or asked
        if url is None:
            return challenge_header(challenge, {})
        if asked is not None and asked.endswith("/"):
            url = f"{url.rstrip('/')}/"
        return challenge_header(challenge, {"resource_metadata": self._metadata_url(url)})

    @property
    def has_servers(self) -> bool:
        """Whether tokens are of authorization servers, and not only keys or of the host's own."""
        return bool(self._authorization_servers or self._issuers)

    def with_implied(self, scopes: frozenset[str]) -> frozenset[str]:
        """Scopes, and those that they imply.

        Args:
            scopes: The scopes; they are returned themselves if they imply no others.
        """
        implied = [self._implied[one] for one in scopes if one in self._implied]
        return scopes.union(*implied) if implied else scopes

    def metadata(self, url: str) -> dict[str, Any] | None:
        """The metadata of the resource at `url` (RFC 9728, section 2); None if tokens are of no
        authorization server."""
        if not self.has_servers:
            return None
        resource = self.resource or url
        if url.endswith("/"):
            # Some clients compare it with what they were given, and that may end with a slash.
            resource = f"{resource.rstrip('/')}/"
        own = [one.issuer_at(resource) for one in self._issuers]
        document: dict[str, Any] = {
            "resource": resource,
            "authorization_servers": [*own, *self._authorization_servers],
            "bearer_methods_supported": ["header"],
            "resource_name": self._settings.display_name or self._settings.name,
        }
        scopes = scopes_of(self._settings.rules)
        if scopes:
            document["scopes_supported"] = list(scopes)
        if self._settings.website_url is not None:
            document["resource_documentation"] = self._settings.website_url
        return document

    def _let_in(self, request: Request, token: AccessToken, verifier: Verifier) -> Flow[None]:
        """Note on a request who sends it.

        Raises:
            ProtocolError: 401, if the token is of nobody here.
        """
        caller = token.subject
        if len(self._verifiers) > 1:
            # A subject is unique within its issuer only.
            caller = f"{caller}@{verifier.name}"
        scopes = self.with_implied(token.scopes)
        if scopes is not token.scopes:
            token = replace(token, scopes=scopes)
        user: Any = None
        find = self._find_user
        if find is None and isinstance(verifier, Issuer):
            find = verifier.find_user
        if find is not None and not token.is_client:
            user = yield from user_of(token, find)
        request.token = token
        request.caller = lambda: caller
        request.on_token(token, user)

    def _own_url(self, request: Request) -> str | None:
        """The URL that tokens must be for. Anybody can write a Host header, so that it says nothing
        unless somebody vouches for it."""
        if self.resource is not None:
            return self.resource
        url = request.url()
        if url is not None and self._settings.vouches_for(url, request):
            return url
        if url is not None and self.needs_url and not self._warned:
            self._warned = True
            logger.warning(
                "No access token can be for this server at %r, since nobody vouches for that host "
                "and port: give MCPServer its resource= (the URL of the MCP endpoint), or "
                "allowed_hosts= with the port if that is not the usual one.",
                url,
            )
        return None

    def _metadata_url(self, url: str) -> str:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        slash = parts.path[len(path) :] if path else ""
        place = (WELL_KNOWN + path if self._has_root(path) else path + WELL_KNOWN) + slash
        return urlunsplit((parts.scheme, parts.netloc, place, "", ""))


def _of_test(request: Request) -> AccessToken | None:
    """The token that a client for tests has made, if one sends the request."""
    if not tokens_of_tests:
        return None
    return tokens_of_tests.get(request.headers.get("authorization", "").partition(" ")[2])


def _closed(hierarchy: Mapping[str, Names]) -> dict[str, frozenset[str]]:
    """All that each scope implies, over however many steps."""
    steps = {
        scope: set(names.split() if isinstance(names, str) else names)
        for scope, names in hierarchy.items()
    }
    closed: dict[str, frozenset[str]] = {}
    for scope in steps:
        found, open_ones = {scope}, [scope]
        while open_ones:
            new = steps.get(open_ones.pop(), set()) - found
            found |= new
            open_ones += new
        closed[scope] = frozenset(found)
    return closed
