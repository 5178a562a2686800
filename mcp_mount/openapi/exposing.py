"""An OpenAPI document alone as the source of tools, for any host that can call its application."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from typing_extensions import Unpack

from mcp_mount.openapi.adding import Exposed, Registering, add_operations
from mcp_mount.openapi.document import Document, Knows
from mcp_mount.openapi.headers import FORWARDED, forwarded
from mcp_mount.openapi.options import (
    ExposeOptions,
    choice_in,
    policies_in,
    refuse_unfit_exposing,
)
from mcp_mount.openapi.targets import Send, calling
from mcp_mount.schemas.names import several_names


def expose_document(
    server: Registering,
    document: Mapping[str, Any],
    send: Send,
    *,
    knows: Knows | None = None,
    prefix_of_paths: str = "",
    forward: str | Collection[str] = FORWARDED,
    login: str | Collection[str] | Callable[[], Collection[str]] = (),
    **options: Unpack[ExposeOptions],
) -> Exposed:
    """Make tools of the operations of an OpenAPI document.

    Args:
        server: What gets the tools, all of them or none: a server, or a router of one.
        document: Of OpenAPI 3.0 or 3.1, as data.
        send: How a request is sent to the application: a plain or a coroutine function of the
            caller's request, the request to send, and what collects the body of the response.
        knows: Whether the application has a route, by method and path with parameters as in the
            document. With it, `servers` are tried as the beginning of the paths, and operations
            without a route are left out; without, `servers` are believed.
        prefix_of_paths: Where the application of the document stands in the one that `send` calls.
        forward: The headers of the caller that go along; `send` sends them.
        login: The paths of the login pages, or a function that returns them.
        options: Which operations, and what is declared of their tools. Without a selection, those
            that have the member "x-mcp".

    Returns:
        The names of the tools, and the operations that match, but cannot be tools, with reasons.

    Raises:
        DefinitionError: If nothing is chosen, a word matches nothing, an operation that
            `operations` names cannot be a tool, or a name is taken.
    """
    refuse_unfit_exposing(expose_document, options)
    choice = choice_in(options)
    known = [] if callable(login) else several_names("login=", login)
    headers = forwarded(forward)
    return add_operations(
        server,
        [Document(document, prefix=prefix_of_paths, knows=knows)],
        choice,
        calling(send),
        forward=headers,
        policies=policies_in(options),
        output_schemas=options.get("output_schemas"),
        login=login if callable(login) else lambda: known,
    )
