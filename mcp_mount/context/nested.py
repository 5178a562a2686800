"""One handler calls another in this process: for the same caller, by the rules of that one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import from_json

from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest, Progress, ProgressListener
from mcp_mount.calls.results import ContentBlock, Result
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.wire.adapters import adapter_of
from mcp_mount.wire.errors import ProtocolError, ResourceError, ToolError
from mcp_mount.wire.revisions import LATEST

DEEPEST: Final = 8
"""How many handlers may call one another, each within the one before."""


@dataclass(frozen=True, slots=True)
class ResourceContent:
    """One of the contents of a resource.

    Attributes:
        uri: The URI of the content.
        content: Text or bytes.
        mime_type: Its media type, if the resource says so.
    """

    uri: str
    content: str | bytes
    mime_type: str | None = None


class CallFailed(ResourceError):
    """Another handler has failed, or may not be called.

    It is a ResourceError as well, so that a resource that has called it does not seem to be
    missing.
    """


def named(incoming: IncomingRequest, tool: str | Callable[..., Any]) -> tuple[str, Any]:
    """The name of a tool, and the type of its values.

    Args:
        incoming: The request of the handler that calls it.
        tool: Its name, or its function.

    Returns:
        The name, and the return annotation of a function; None for a tool given by its name.

    Raises:
        ToolError: If the function is not a tool of the server.
    """
    if isinstance(tool, str):
        return tool, None
    found = incoming.handlers and incoming.handlers.tool_of(tool)
    if not found:
        raise CallFailed(f"{tool!r} is no tool of this server")
    return found


def call_of(
    incoming: IncomingRequest,
    number: int,
    method: str,
    name: str,
    params: Mapping[str, Any],
    listener: ProgressListener | None = None,
) -> Call:
    """The call of another handler, within the one that answers a request.

    Args:
        incoming: The request.
        number: The number of the call among those that the handler makes.
        method: The method of the protocol, such as "tools/call".
        name: The name of the handler, or the URI of a resource.
        params: The parameters of the method.
        listener: Hears what the handler reports of its progress.

    Raises:
        ToolError: If there is no such handler, if the caller may not use it, if handlers call one
            another in a circle, or if more than `DEEPEST` do.
    """
    path = (*(incoming.path or (_own_name(incoming),)), name)
    if name in path[:-1]:
        raise CallFailed(f"{name!r} calls itself: {' → '.join(path)}")
    if len(path) > DEEPEST:
        raise CallFailed(f"More than {DEEPEST} handlers call one another: {' → '.join(path)}")
    if incoming.handlers is None:
        raise CallFailed("There is no server to call other handlers on")
    if incoming.progress is None:
        incoming.progress = Progress()
    inner = replace(
        incoming,
        method=method,
        params=dict(params),
        revision=LATEST,
        path=path,
        prefix=f"{incoming.prefix}{number}.",
        is_plain=False,
        passing=frozenset(),
        passed=frozenset(),
        listener=listener or incoming.listener,
    )
    try:
        answer = incoming.handlers.answer(inner)
    except ProtocolError as error:
        raise _told(error) from None
    if answer is None:
        raise CallFailed(f"This server has nothing for {method}")
    return answer if isinstance(answer, Call) else _answered(inner, answer)


def model_call_of(
    incoming: IncomingRequest, number: int, request: Any, pieces: Any, model: Any = None
) -> Any:
    """The call of a chat model, within the one that answers a request.

    Args:
        incoming: The request.
        number: The number of the call among those that the handler makes.
        request: The `ChatRequest`.
        pieces: Takes the pieces of the answer.
        model: A model that has no name; by default the one that the request names.

    Raises:
        ModelError: If there is no such model, the caller may not ask it, models ask one another in
            a circle, or more than `DEEPEST` handlers call one another.
    """
    name = request.model or ""
    outer = incoming.path or (_own_name(incoming),)
    path = outer if model is not None else (*outer, name)
    if model is None and name in outer:
        raise ModelError(f"{name!r} asks itself: {' → '.join(path)}", status=500, again=False)
    if len(path) > DEEPEST:
        raise ModelError(f"More than {DEEPEST} handlers call one another", status=500, again=False)
    if incoming.handlers is None:
        raise ModelError("There is no server to ask models of", status=500, again=False)
    inner = replace(
        incoming,
        revision=LATEST,
        path=path,
        prefix=f"{incoming.prefix}{number}.",
        is_plain=False,
    )
    try:
        return incoming.handlers.model_call(inner, request, pieces, model)
    except ProtocolError as error:
        status = error.status(stateless=True)
        raise ModelRefused(str(_told(error)), status=status, again=False) from None


def image_call_of(incoming: IncomingRequest, number: int, request: Any, pieces: Any) -> Any:
    """The call of an image backend, within the one that answers a request.

    Args:
        incoming: The request.
        number: The number of the call among those that the handler makes.
        request: The `ImageRequest`.
        pieces: Takes pictures on their way.

    Raises:
        ModelError: If there is no such backend, the caller may not ask it, or more than `DEEPEST`
            handlers call one another.
    """
    path = (*(incoming.path or (_own_name(incoming),)), request.model or "")
    if len(path) > DEEPEST:
        raise ModelError(f"More than {DEEPEST} handlers call one another", status=500, again=False)
    if incoming.handlers is None:
        raise ModelError("There is no server to ask models of", status=500, again=False)
    prefix = f"{incoming.prefix}{number}."
    inner = replace(incoming, revision=LATEST, path=path, prefix=prefix, is_plain=False)
    try:
        return incoming.handlers.image_call(inner, request, pieces)
    except ProtocolError as error:
        status = error.status(stateless=True)
        raise ModelRefused(str(_told(error)), status=status, again=False) from None


def result_of(call: Call) -> dict[str, Any]:
    """The result of a call of another handler, decoded.

    Args:
        call: The call, which has ended.

    Raises:
        ToolError: If it failed.
        Suspended: If the client must be asked first, which ends the outer call, too.
    """
    try:
        result = call.finish()
    except ProtocolError as error:
        raise _told(error) from None
    if result.suspended is not None:
        raise result.suspended
    body: dict[str, Any] = from_json(b"{%b}" % result.members)
    if result.meta:
        body["_meta"] = dict(result.meta)
    if result.failed:
        texts = [str(block.get("text", "")) for block in body.get("content", ())]
        raise CallFailed("\n".join(texts) or "The tool failed")
    return body


def wraps(incoming: IncomingRequest, name: str) -> bool:
    """Whether the structured content of a tool has its value as the member `result`."""
    return incoming.handlers is not None and incoming.handlers.wraps(name)


def value_of(body: Mapping[str, Any], returns: Any, *, is_wrapped: bool = False) -> Any:
    """The value in the result of a tool.

    Args:
        body: The result, decoded.
        returns: The type of the value; None for data as in JSON. `CallToolResult` is the whole
            result.
        is_wrapped: Whether the structured content has the value as its member `result`.

    Returns:
        The structured content; without any, the text of a single text block, or else all content
        blocks, as in JSON.
    """
    if getattr(returns, "__name__", None) == "CallToolResult":
        return returns.model_validate(body)
    if "structuredContent" in body:
        value: Any = body["structuredContent"]
        if is_wrapped and isinstance(value, dict) and value.keys() == {"result"}:
            value = value["result"]
    else:
        content = body.get("content", [])
        is_text = len(content) == 1 and content[0].get("type") == "text"
        value = content[0]["text"] if is_text else [ContentBlock(one) for one in content]
    return value if returns is None else _adapter(returns).validate_python(value)


def contents_of(body: Mapping[str, Any]) -> list[ResourceContent]:
    """The contents of a resource in the result of reading it."""
    return [
        ResourceContent(
            one.get("uri", ""),
            one["text"] if "text" in one else base64.b64decode(one.get("blob", "")),
            one.get("mimeType"),
        )
        for one in body.get("contents", ())
    ]


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a prompt, as `PromptMessage` has them in JSON."""
    return list(body.get("messages", ()))


@lru_cache(maxsize=256)
def _adapter(returns: Any) -> TypeAdapter[Any]:
    return adapter_of(returns, reads_json=True)


def _own_name(incoming: IncomingRequest) -> str:
    return str(incoming.params.get("name") or incoming.params.get("uri") or incoming.method)


def _answered(incoming: IncomingRequest, result: Result) -> Call:
    """A call that has its result already."""
    call = Call(incoming, lambda: None, is_async=False, encode=lambda value, revision: result)
    call.settle(result)
    return call


def _told(error: ProtocolError) -> ToolError:
    if error.status(stateless=True) in (401, 403):
        return CallFailed(f"The caller may not do this: {error.message}")
    return CallFailed(error.message)
