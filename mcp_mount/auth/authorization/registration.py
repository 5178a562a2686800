"""The endpoint where clients register themselves (RFC 7591). No row is kept: the id of a client
holds what is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic_core import from_json, to_json

from mcp_mount.auth.authorization.clients import ClientRefused, read_metadata
from mcp_mount.auth.authorization.errors import ANYWHERE, NOT_KEPT, OAuthError
from mcp_mount.auth.authorization.events import Events, SignInEvent
from mcp_mount.auth.authorization.limits import AddressLimits
from mcp_mount.auth.authorization.options import SignInOptions
from mcp_mount.auth.authorization.sealed import Seals
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.messages import JSON, Reply

MAX_REGISTRATION: Final = 16 * 1024
"""The largest registration that is read, in bytes."""


class Registration:
    """Registers clients.

    Args:
        options: What the application's owner has chosen.
        seals: Seals their ids.
        events: Is told.
        limits: How often addresses may register.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        options: SignInOptions,
        seals: Seals,
        events: Events,
        limits: AddressLimits,
        clock: Callable[[], float],
    ) -> None:
        self._admits = options.admits
        self._seals = seals
        self._events = events
        self._limits = limits
        self._clock = clock

    def respond(self, request: WebRequest) -> Flow[Reply]:
        """Respond to a request for the endpoint.

        Raises:
            OAuthError: For a registration that is not accepted.
        """
        yield from self._limits.refuse_often("registrations", request.address)
        yield from self._limits.count("registrations", request.address)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise OAuthError("invalid_client_metadata", "A registration is application/json")
        if len(request.body) > MAX_REGISTRATION:
            raise OAuthError("invalid_client_metadata", "The registration is too long", status=413)
        try:
            document = from_json(request.body, allow_inf_nan=False)
        except (ValueError, RecursionError):
            raise OAuthError("invalid_client_metadata", "The registration is no JSON") from None
        try:
            metadata = read_metadata(document, self._admits)
            client_id = self._seals.client_id(
                metadata.name, list(metadata.redirect_uris), metadata.uri
            )
        except ClientRefused as error:
            raise OAuthError(error.error, error.description) from None
        except ValueError:
            raise OAuthError(
                "invalid_client_metadata", "The names and redirect URIs are too long together"
            ) from None
        self._events.tell(
            SignInEvent("client registered", client=metadata.name, address=request.address)
        )
        response = {
            **metadata.echoed,
            "client_id": client_id,
            "client_id_issued_at": int(self._clock()),
            "redirect_uris": metadata.redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        return Reply(201, to_json(response), [("content-type", JSON), *NOT_KEPT, *ANYWHERE])
