"""Resources: data that a client may read by its URI."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from typing_extensions import Unpack

from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.calls.results import Result
from mcp_mount.features.content import is_content
from mcp_mount.features.definitions import ANY_ENTRY, Definition, check_definition, members
from mcp_mount.schemas.arguments import Arguments, InvalidArguments
from mcp_mount.schemas.functions import (
    DefinitionError,
    Documentation,
    describe,
    is_coroutine_function,
    name_of,
    signature_of,
)
from mcp_mount.schemas.uri_templates import UriTemplate
from mcp_mount.schemas.values import Check, or_none, text, whole
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    RESOURCE_NOT_FOUND,
    CallRejected,
    ClientError,
    ProtocolError,
    ResourceError,
    ResourceNotFoundError,
    ToolError,
)
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Rule, plain
from mcp_mount.wire.revisions import LATEST, Revision
from mcp_mount.wire.uris import normal_uri

logger = own_logger("mcp_mount")


class ReadDefinition(Definition, total=False):
    """What users may say of a resource and of a page."""

    name: str | None
    """By default the function's."""
    size: int | None
    """In bytes."""
    annotations: Any
    """Hints for clients, such as {"audience": ["user"], "priority": 0.5}."""
    ttl_ms: int
    """For how many milliseconds a client may keep a copy (2026-07-28); 0 by default."""
    cache_scope: Literal["private", "public"]
    """Whether a client may share its copy with others ("public"); "private" by default."""


class ResourceDefinition(ReadDefinition, total=False):
    """What users may say of a resource."""

    mime_type: str | None
    """The media type of its contents."""


def _cache_scope(name: str, value: Any) -> None:
    if value not in ("private", "public"):
        raise DefinitionError(f'{name} is "private" or "public", not {value!r}')


READ_CHECKS: Final[Mapping[str, Check]] = {
    **ANY_ENTRY,
    "size": or_none(whole(0)),
    "ttl_ms": whole(0),
    "cache_scope": _cache_scope,
    "mime_type": or_none(text),
}
"""The checks of what users may say of a resource."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A registered resource, or a template of resources: then `template` is set."""

    uri: str
    template: UriTemplate | None
    function: Callable[..., Any]
    arguments: Arguments
    is_async: bool
    members: Mapping[str, Any]
    hints: Mapping[str, Any]
    """What a client may do with a copy: ttlMs and cacheScope (2026-07-28)."""
    content_meta: Mapping[str, Any] | None = None
    """The `_meta` of each content, if it has one."""
    rules: Sequence[Rule] = ()
    policies: Policies = NO_POLICIES

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        uri: str,
        *,
        content_meta: Mapping[str, Any] | None = None,
        rules: Sequence[Rule] = (),
        policies: Policies = NO_POLICIES,
        **definition: Unpack[ResourceDefinition],
    ) -> Resource:
        """Make a resource of a function.

        Args:
            function: Reads it.
            uri: Its URI, or a template (RFC 6570) whose variables are the function's parameters.
            content_meta: The `_meta` of each content, if it has one.
            rules: Who may see and read it.
            policies: Wrap its calls.
            definition: What the user says of it.

        Raises:
            DefinitionError: For a function or a URI that cannot be a resource.
        """
        check_definition(function, definition, READ_CHECKS)
        if ":" not in text("uri", uri):
            raise DefinitionError(f"{describe(function)}: {uri!r} is no URI, it has no scheme")
        template = _template(function, uri)
        written, uri = uri, normal_uri(uri) if template is None else template.template
        documentation = Documentation(function)
        named = () if template is None else template.names
        arguments = Arguments(function, signature_of(function), documentation, named)
        _check_names(function, written, template, arguments)
        own: dict[str, Any] = (
            {"uri": uri, "size": definition.get("size")}
            if template is None
            else {"uriTemplate": uri}
        )
        return cls(
            uri=uri,
            template=template,
            function=function,
            arguments=arguments,
            is_async=is_coroutine_function(function),
            members=members(
                documentation,
                definition,
                name=definition.get("name") or name_of(function),
                mimeType=definition.get("mime_type"),
                annotations=plain(definition.get("annotations")),
                **own,
            ),
            hints={
                "ttlMs": definition.get("ttl_ms", 0),
                "cacheScope": definition.get("cache_scope", "private"),
            },
            content_meta=content_meta,
            rules=rules,
            policies=policies,
        )

    def definition(self, revision: Revision = LATEST) -> dict[str, Any]:
        """The resource, or the template, as its list shows it."""
        return {
            key: value for key, value in self.members.items() if key in revision.resource_fields
        }

    def match(self, uri: str) -> Mapping[str, str] | None:
        """The arguments for reading `uri`; None if it is not this resource's."""
        if self.template is None:
            return {} if normal_uri(uri) == self.uri else None
        return self.template.match(uri)

    def call(self, incoming: IncomingRequest, values: Mapping[str, str]) -> Call:
        """The call that reads the resource.

        Args:
            incoming: The request.
            values: The values of the template's variables.

        Raises:
            ProtocolError: Invalid params for values that do not fit, unless policies are to see
                that first.
        """
        policies, uri = self.policies.chain, incoming.params["uri"]
        args, kwargs = ((), None) if policies else self._validate(uri, values)
        return Call(
            incoming,
            self.function,
            args,
            kwargs,
            is_async=self.is_async,
            encode=partial(self._encode, uri),
            recognise=partial(_recognised, incoming.revision, uri),
            context=self.arguments.context,
            request=self.arguments.request,
            policies=policies,
            arguments=values,
            validate=partial(self._validate, uri) if policies else None,
        )

    def _validate(
        self, uri: str, values: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            return self.arguments.validate(values)
        except InvalidArguments as error:
            raise ProtocolError(INVALID_PARAMS, str(error), data={"uri": uri}) from None

    def _encode(self, uri: str, value: Any, revision: Revision) -> Result:
        """The result for what the function returned: text, bytes, data, or contents as they are."""
        if type(value).__name__ == "ReadResourceResult" and is_content(value):
            contents = plain(value)["contents"]
        elif isinstance(value, list | tuple) and value and all(map(is_content, value)):
            contents = plain(value)
        elif is_content(value):
            contents = [plain(value)]
        else:
            contents = [self._content(uri, value)]
        body: dict[str, Any] = {"contents": contents}
        if revision.stateless:
            body |= self.hints
        return Result(encode(body)[1:-1])

    def _content(self, uri: str, value: Any) -> dict[str, Any]:
        declared = self.members.get("mimeType")
        if isinstance(value, bytes):
            blob = base64.b64encode(value).decode()
            content = {"mimeType": declared or "application/octet-stream", "blob": blob}
        elif isinstance(value, str):
            content = {"mimeType": declared or "text/plain", "text": value}
        else:
            content = {
                "mimeType": declared or "application/json",
                "text": encode(value).decode(),
            }
        if self.content_meta is not None:
            return {"uri": uri, **content, "_meta": self.content_meta}
        return {"uri": uri, **content}


def answer_read(resources: Mapping[str, Resource], incoming: IncomingRequest) -> Call:
    """Answer `resources/read`: a resource of that very URI, or the first template that fits.

    Args:
        resources: By their URIs, and URI templates.
        incoming: The request.

    Raises:
        ProtocolError: If nothing serves the URI, or its values do not fit.
    """
    uri = incoming.params["uri"]
    refusal = not_found = _not_found(incoming.revision, uri)
    exact = resources.get(normal_uri(uri))
    for resource in [exact] if exact is not None else resources.values():
        values = resource.match(uri)
        if values is None:
            continue
        try:
            incoming.require(resource.rules, not_found)
        except ProtocolError as error:
            refusal = error
            continue
        return resource.call(incoming, values)
    raise refusal


def _not_found(revision: Revision, uri: str, words: str = "") -> ProtocolError:
    # Renumbered in 2026-07-28 (server/resources, "Error Handling").
    kind = INVALID_PARAMS if revision.stateless else RESOURCE_NOT_FOUND
    return ProtocolError(kind, words or f"Resource not found: {uri}", data={"uri": uri})


def _recognised(revision: Revision, uri: str, error: Exception) -> Exception:
    """What a handler raised, as the error that the specification has for it."""
    ours = error
    if isinstance(error, ResourceError) and not isinstance(error, ResourceNotFoundError):
        ours = ProtocolError(INTERNAL_ERROR, str(error), data={"uri": uri})
    elif isinstance(error, ToolError) and not isinstance(error, ClientError | CallRejected):
        ours = _not_found(revision, uri, str(error))
    elif isinstance(error, LookupError):
        # The words of a KeyError are a key, and those of an IndexError Python's: only the handler's
        # own are for the client.
        words = str(error) if type(error) is LookupError else ""
        ours = _not_found(revision, uri, words and f"Resource not found: {words}")
        logger.info("Resource %r raised %r: told as not found", uri, error, exc_info=error)
    if ours is not error:
        ours.__cause__ = error
    return ours


def _template(function: Callable[..., Any], uri: str) -> UriTemplate | None:
    if "{" not in uri and "}" not in uri:
        return None
    try:
        return UriTemplate(uri)
    except ValueError as error:
        raise DefinitionError(f"{describe(function)}: the template {uri!r}: {error}") from None


def _check_names(
    function: Callable[..., Any], uri: str, template: UriTemplate | None, arguments: Arguments
) -> None:
    """The parameters of a function are the variables of its template, but for optional ones."""
    variables = set() if template is None else set(template.names)
    unknown = variables - set(arguments.names)
    missing = set(arguments.schema.get("required", ())) - variables
    if unknown or missing:
        names = ", ".join(sorted(unknown | missing))
        where = "has no parameter" if unknown else f"must be a variable of {uri!r}:"
        raise DefinitionError(f"{describe(function)} {where} {names}")
