"""An OpenAPI document alone as the source of tools, for any host that can call its application."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from typing_extensions import Unpack

from mcp_mount.openapi.adding import (
    Exposed,
    Registering,
    add_operations,
    refuse_unknown_policies,
)
from mcp_mount.openapi.choice import Choice
from mcp_mount.openapi.document import Document, Knows
from mcp_mount.openapi.headers import FORWARDED, forwarded
from mcp_mount.openapi.operations import METHODS, Operation
from mcp_mount.openapi.targets import Send, calling
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.schemas.names import several_names


def expose_document(
    server: Registering,
    document: Mapping[str, Any],
    send: Send,
    *,
    knows: Knows | None = None,
    prefix_of_paths: str = "",
    tags: str | Collection[str] = (),
    operations: str | Collection[str] = (),
    paths: str | Collection[str] = (),
    methods: str | Collection[str] = METHODS,
    exclude: str | Collection[str] = (),
    exclude_tags: str | Collection[str] = (),
    names: Mapping[str, str] | None = None,
    name: Callable[[Operation], str | None] | None = None,
    descriptions: Mapping[str, str] | None = None,
    prefix: str = "",
    forward: str | Collection[str] = FORWARDED,
    login: str | Collection[str] | Callable[[], Collection[str]] = (),
    output_schemas: bool | None = None,
    **policies: Unpack[PolicyOptions],
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
        tags: Operations with one of these tags. Without tags, operations and paths, those that have
            the member "x-mcp".
        operations: Those with one of these operation ids.
        paths: Those with one of these paths ("/orders/*").
        methods: Of HTTP.
        exclude: Operation ids or paths that stay out.
        exclude_tags: Tags of operations that stay out.
        names: Other names, by operation id.
        name: A function of an `Operation` (path, method, id, tags) that returns the name of its
            tool, or None for the usual one. `names` come first.
        descriptions: Other descriptions, by operation id.
        prefix: Of all names.
        forward: The headers of the caller that go along; `send` sends them.
        login: Paths to which those are redirected who must log in, or what returns them.
        output_schemas: Whether the tools promise what the document says of answers.
        policies: What may be declared around a tool, see `PolicyOptions`, for each of these.

    Returns:
        The names of the tools, and the operations that match, but cannot be tools, with reasons.

    Raises:
        DefinitionError: If nothing is chosen, a word matches nothing, an operation that
            `operations` names cannot be a tool, or a name is taken.
    """
    refuse_unknown_policies(expose_document, policies)
    choice = Choice(
        tags=tags,
        operations=operations,
        paths=paths,
        methods=methods,
        exclude=exclude,
        exclude_tags=exclude_tags,
        names=names,
        name=name,
        descriptions=descriptions,
        prefix=prefix,
    )
    known = [] if callable(login) else several_names(login)
    headers = forwarded(forward)
    return add_operations(
        server,
        [Document(document, prefix=prefix_of_paths, knows=knows)],
        choice,
        calling(send),
        forward=headers,
        policies=policies,
        output_schemas=output_schemas,
        login=login if callable(login) else lambda: known,
    )
