"""Argument completion: suggestions while a person fills in a prompt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, Protocol

from pydantic import BaseModel

from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.calls.results import Result
from mcp_mount.schemas.functions import DefinitionError, describe, is_coroutine_function
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.messages import Rule, plain
from mcp_mount.wire.revisions import Revision
from mcp_mount.wire.uris import normal_template

# server/utilities/completion: "Maximum 100 items per response".
_MAX_VALUES: Final = 100
_REFERENCES: Final = {"ref/prompt": "name", "ref/resource": "uri"}


@dataclass(frozen=True, slots=True)
class Completion:
    """What is being completed (2026-07-28, server/utilities/completion).

    Attributes:
        subject: The name of the prompt, or the URI template of the resource.
        argument: The name of the argument.
        value: What has been typed so far.
        arguments: The other arguments, as far as they are known.
    """

    subject: str
    argument: str
    value: str
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Completer:
    """A function that completes one argument of one prompt."""

    subject: str
    argument: str
    function: Callable[[Completion], Any]
    rules: Sequence[Rule] = ()
    policies: Policies = NO_POLICIES


EVERYTHING: Final = ""
"""Subject and argument of a completer for all that has no completer of its own."""

_PARTS: Final = ("ref", "argument", "context")


def general_completer(function: Callable[..., Any]) -> Completer:
    """The completer of everything that has none of its own.

    Args:
        function: Takes a `Completion`; or `ref`, `argument` and `context` as `mcp_types` has them,
            as in the official SDK.

    Raises:
        DefinitionError: For a function that takes something else.
    """
    names = tuple(inspect.signature(function).parameters)
    if len(names) == 1:
        return Completer(EVERYTHING, EVERYTHING, function)
    if names != _PARTS[: len(names)]:
        raise DefinitionError(
            f"{describe(function)} takes a Completion, or ref, argument and context, to complete "
            f"what nothing else does, not {', '.join(names) or 'nothing'}"
        )

    def parts(completion: Completion) -> list[Any]:
        import mcp_types

        is_template = "{" in completion.subject or ":" in completion.subject
        return [
            mcp_types.ResourceTemplateReference(uri=completion.subject)
            if is_template
            else mcp_types.PromptReference(name=completion.subject),
            mcp_types.CompletionArgument(name=completion.argument, value=completion.value),
            mcp_types.CompletionContext(arguments=dict(completion.arguments))
            if completion.arguments
            else None,
        ][: len(names)]

    if is_coroutine_function(function):

        @wraps(function)
        async def complete_async(completion: Completion) -> Any:
            return await function(*parts(completion))

        return Completer(EVERYTHING, EVERYTHING, complete_async)

    @wraps(function)
    def complete(completion: Completion) -> Any:
        return function(*parts(completion))

    return Completer(EVERYTHING, EVERYTHING, complete)


class Subject(Protocol):
    """What has arguments to complete."""

    @property
    def rules(self) -> Sequence[Rule]: ...


def answer_complete(
    completers: Mapping[tuple[str, str], Completer],
    subjects: Mapping[str, Subject],
    incoming: IncomingRequest,
) -> Result | Call:
    """Answer `completion/complete`; an argument that nobody completes has no suggestions."""
    completion = _read(incoming.params)
    completer = completers.get((completion.subject, completion.argument))
    subject = subjects.get(completion.subject)
    if incoming.params["ref"]["type"] == "ref/resource":
        uri = normal_template(completion.subject)
        subject = subjects.get(uri)
        completer = completer or next(
            (
                one
                for one in completers.values()
                if one.argument == completion.argument and normal_template(one.subject) == uri
            ),
            None,
        )
    completer = completer or completers.get((EVERYTHING, EVERYTHING))
    rules = (*(completer.rules if completer else ()), *(subject.rules if subject else ()))
    if completer is None or not incoming.permits(rules):
        return _encode([], incoming.revision)
    incoming.met_rules.extend(rules)
    return Call(
        incoming,
        completer.function,
        (completion,),
        is_async=is_coroutine_function(completer.function),
        encode=_encode,
        policies=completer.policies.chain,
    )


def _read(params: Mapping[str, Any]) -> Completion:
    reference, argument = params.get("ref"), params.get("argument")
    if not isinstance(reference, dict) or not isinstance(argument, dict):
        raise ProtocolError(INVALID_PARAMS, 'params must have objects "ref" and "argument"')
    member = _REFERENCES.get(str(reference.get("type")))
    subject = reference.get(member) if member is not None else None
    name, value = argument.get("name"), argument.get("value")
    if not isinstance(subject, str) or not isinstance(name, str) or not isinstance(value, str):
        raise ProtocolError(
            INVALID_PARAMS,
            '"ref" must be a ref/prompt with a "name" or a ref/resource with a "uri"; '
            '"argument" must have a "name" and a "value"',
        )
    context = params.get("context", {})
    arguments = context.get("arguments", {}) if isinstance(context, dict) else None
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, '"context.arguments" must be an object')
    return Completion(subject, name, value, arguments)


def _encode(value: Any, revision: Revision) -> Result:
    if isinstance(value, BaseModel):
        body = plain(value)
        return Result(encode(body if "completion" in body else {"completion": body})[1:-1])
    values = [str(item) for item in value or ()]
    body = {
        "values": values[:_MAX_VALUES],
        "total": len(values),
        "hasMore": len(values) > _MAX_VALUES,
    }
    return Result(encode({"completion": body})[1:-1])
