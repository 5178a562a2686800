"""Members that a context has for code that was written for the official SDK (docs/porting.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mcp_mount.elsewhere import OF_SESSIONS


def missing(owner: object, name: str, known: Mapping[str, str], called: str) -> AttributeError:
    """The error for a member that an object does not have.

    Args:
        owner: The object.
        name: Of the member.
        known: What other libraries have by such names, and what that is here.
        called: How the object is called in code.
    """
    if name in known:
        return AttributeError(f"{called}.{name} is {known[name]} here (docs/porting.md)")
    return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")


class SDKSession:
    """In place of the official SDK's `ctx.session`: it names what each member is here."""

    def __getattr__(self, name: str) -> Any:
        raise missing(self, name, OF_SESSIONS, "ctx.session")


class HasRequest(Protocol):
    """What a context tells of its request, under its own names."""

    @property
    def lifespan(self) -> Any: ...

    @property
    def request(self) -> Any: ...

    @property
    def request_id(self) -> Any: ...

    @property
    def meta(self) -> Mapping[str, Any]: ...


class RequestContext:
    """The official SDK's `ctx.request_context`, as far as there is something to tell."""

    def __init__(self, context: HasRequest) -> None:
        self._context = context

    @property
    def lifespan_context(self) -> Any:
        """What the server's lifespan has yielded: `ctx.lifespan`."""
        return self._context.lifespan

    @property
    def request(self) -> Any:
        """The host framework's own request: `ctx.request`."""
        return self._context.request

    @property
    def request_id(self) -> Any:
        """`ctx.request_id`."""
        return self._context.request_id

    @property
    def meta(self) -> Mapping[str, Any]:
        """`ctx.meta`."""
        return self._context.meta

    @property
    def session(self) -> SDKSession:
        """`ctx.session`."""
        return SDKSession()
