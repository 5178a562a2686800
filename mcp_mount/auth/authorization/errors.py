"""What the authorization server refuses, and how each is told."""

from __future__ import annotations

from typing import Final

from pydantic_core import to_json

from mcp_mount.wire.messages import JSON, Reply

NOT_KEPT: Final = (("cache-control", "no-store"), ("pragma", "no-cache"))
"""Tokens and their errors are kept by nobody (RFC 6749, section 5.1)."""

ANYWHERE: Final = (("access-control-allow-origin", "*"),)
"""Clients in browsers read what needs no cookie from any origin."""


RETRY_SECONDS: Final = 5
"""When to try again, where a store does not answer."""


class OAuthError(Exception):
    """An error that a client is told in JSON (RFC 6749, section 5.2; RFC 7591, section 3.2.2).

    Args:
        error: The error code.
        description: For people: plain ASCII without quotation marks or backslashes.
        status: The HTTP status.
        retry_after: After how many seconds the client may try again.
    """

    def __init__(
        self, error: str, description: str, *, status: int = 400, retry_after: int | None = None
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.retry_after = retry_after

    def reply(self, *, by_header: bool = False) -> Reply:
        """The error as an HTTP response.

        Args:
            by_header: Whether the client sent its id by HTTP Basic.
        """
        body = to_json({"error": self.error, "error_description": self.description})
        headers = [("content-type", JSON), *NOT_KEPT, *ANYWHERE]
        if self.status == 401 and by_header:
            # RFC 6749, section 5.2: with the scheme that the client used. Without one, a browser
            # would ask its person for a password.
            headers.append(("www-authenticate", 'Basic realm="token endpoint"'))
        return Reply(self.status, body, [*headers, *self.retry_header()])

    def retry_header(self) -> list[tuple[str, str]]:
        """The header that says when to try again, where there is one."""
        return [] if self.retry_after is None else [("retry-after", str(self.retry_after))]


class PersonRefused(OAuthError):
    """The error for a person who may not come any more, or has changed their password: clients
    learn by it that the person must sign in again."""

    def __init__(self) -> None:
        super().__init__("invalid_grant", "The person must sign in again")


class RedirectedError(Exception):
    """An error of an authorization request that its client is told by the redirect (RFC 6749,
    section 4.1.2.1)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class PageError(Exception):
    """An error that only the person is told, on a page: there is nowhere safe to redirect to.

    Args:
        message: A sentence for the person.
        status: The HTTP status.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def invalid_client(description: str) -> OAuthError:
    """The error by which clients learn that they must register anew."""
    return OAuthError("invalid_client", description, status=401)


def invalid_grant(description: str) -> OAuthError:
    """The error by which clients learn that the person must sign in again."""
    return OAuthError("invalid_grant", description)


def unavailable(what: str = "The authorization server cannot reach its store") -> OAuthError:
    """The error of something that is needed and does not answer."""
    return OAuthError(
        "temporarily_unavailable",
        f"{what}: try again later",
        status=503,
        retry_after=RETRY_SECONDS,
    )
