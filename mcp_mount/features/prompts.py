"""Prompts: templates of messages that a person picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json
from typing_extensions import Unpack

from mcp_mount.calls.call import Call
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.policies import NO_POLICIES, Policies
from mcp_mount.calls.results import Result
from mcp_mount.elsewhere import value_here
from mcp_mount.features import content
from mcp_mount.features.definitions import ANY_ENTRY, Definition, check_definition, members
from mcp_mount.schemas.arguments import Arguments, InvalidArguments, known_arguments
from mcp_mount.schemas.functions import (
    DefinitionError,
    Documentation,
    describe,
    is_coroutine_function,
    name_of,
    signature_of,
)
from mcp_mount.schemas.json_strings import takes_json
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.errors import INVALID_PARAMS, ProtocolError
from mcp_mount.wire.messages import Rule, plain
from mcp_mount.wire.revisions import LATEST, Revision


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a prompt.

    Attributes:
        content: Text, an `Image`, a `File` or a content block of `mcp_types`.
        role: "user" or "assistant".
    """

    content: Any
    role: str = "user"


@dataclass(frozen=True, slots=True)
class UserMessage(Message):
    """A message of the user.

    Attributes:
        content: Text, an `Image`, a `File` or a content block of `mcp_types`.
        role: "user".
    """


@dataclass(frozen=True, slots=True)
class AssistantMessage(Message):
    """A message of the assistant.

    Attributes:
        content: Text, an `Image`, a `File` or a content block of `mcp_types`.
        role: "assistant".
    """

    role: str = "assistant"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A registered prompt."""

    name: str
    function: Callable[..., Any]
    arguments: Arguments
    is_async: bool
    members: Mapping[str, Any]
    rules: Sequence[Rule] = ()
    policies: Policies = NO_POLICIES

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        rules: Sequence[Rule] = (),
        policies: Policies = NO_POLICIES,
        **definition: Unpack[Definition],
    ) -> Prompt:
        """Make a prompt of a function.

        Args:
            function: Returns the messages.
            name: By default the function's.
            rules: Who may see and use it.
            policies: Wrap its calls.
            definition: What the user says of it.

        Raises:
            DefinitionError: For a function that cannot be a prompt.
        """
        check_definition(function, {**definition, "name": name}, ANY_ENTRY)
        own_name = name_of(function) if name is None else name
        if not own_name or own_name == "<lambda>":
            raise DefinitionError(f"{describe(function)}: pass name= for a prompt without a name")
        documentation, signature = Documentation(function), signature_of(function)
        if (hint := value_here(signature.return_annotation)) is not None:
            raise DefinitionError(f"{describe(function)} {hint}")
        arguments = Arguments(function, signature, documentation)
        return cls(
            name=own_name,
            function=function,
            arguments=arguments,
            is_async=is_coroutine_function(function),
            members={
                **members(documentation, definition, name=own_name),
                "arguments": _describe(arguments),
            },
            rules=rules,
            policies=policies,
        )

    def definition(self, revision: Revision = LATEST) -> dict[str, Any]:
        """The prompt as `prompts/list` shows it."""
        return {key: value for key, value in self.members.items() if key in revision.prompt_fields}

    def call(self, incoming: IncomingRequest, arguments: Mapping[str, Any]) -> Call:
        """The call of the prompt.

        Args:
            incoming: The request.
            arguments: Its arguments, by name.

        Raises:
            ProtocolError: Invalid params for arguments that do not fit, unless policies are to see
                that first.
        """
        policies = self.policies.chain
        if self.policies.ignores_extra_arguments:
            arguments = known_arguments(arguments, self.arguments.schema)
        args, kwargs = ((), None) if policies else self._validate(arguments)
        return Call(
            incoming,
            self.function,
            args,
            kwargs,
            is_async=self.is_async,
            encode=self.encode,
            context=self.arguments.context,
            request=self.arguments.request,
            policies=policies,
            arguments=arguments,
            validate=self._validate if policies else None,
        )

    def _validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            return self.arguments.validate(arguments)
        except InvalidArguments as error:
            raise ProtocolError(INVALID_PARAMS, str(error)) from None

    def encode(self, value: Any, revision: Revision) -> Result:
        """The result for what a prompt returned: a message, a list of them, or a whole result."""
        if type(value).__name__ == "GetPromptResult" and content.is_content(value):
            body = plain(value)
            meta = body.pop("_meta", None)
            encode(meta)  # Now, while a failure is still the prompt's.
            body.pop("resultType", None)
            for message in body["messages"]:
                [block] = content.readable([encode(message["content"])], revision)
                message["content"] = from_json(block)
            return Result(encode(body)[1:-1], meta)
        values = value if isinstance(value, list | tuple) else [value]
        members = b'"messages":[%b]' % b",".join(_encode_message(one, revision) for one in values)
        description = self.members.get("description")
        if description is not None:
            members = b'"description":%b,%b' % (encode(description), members)
        return Result(members)


def _describe(arguments: Arguments) -> list[dict[str, Any]]:
    """The arguments of a prompt as its definition has them: names, not schemas.

    All are strings on the wire. Those that must be a list or an object are told to be JSON.
    """
    whole = arguments.schema
    required = whole.get("required", ())
    described: list[dict[str, Any]] = []
    for name, schema in whole["properties"].items():
        words = [schema["description"]] if "description" in schema else []
        if takes_json(schema, whole):
            own = {key: member for key, member in schema.items() if key != "description"}
            if "$ref" in encode(own).decode():
                own["$defs"] = whole.get("$defs", {})
            words.append(f"JSON by this schema: {encode(own).decode()}")
        text = {"description": "\n".join(words)} if words else {}
        described.append({"name": name, **text, "required": name in required})
    return described


def answer_get(prompts: Mapping[str, Prompt], incoming: IncomingRequest) -> Call:
    """Answer `prompts/get` (2026-07-28, server/prompts).

    Args:
        prompts: By their names.
        incoming: The request.

    Raises:
        ProtocolError: Invalid params, if there is no such prompt for the caller, or the arguments
            do not fit.
    """
    name = incoming.params["name"]
    prompt = prompts.get(name)
    if prompt is None or prompt.rules:
        unknown = ProtocolError(INVALID_PARAMS, f"Unknown prompt: {name}")
        if prompt is None:
            raise unknown
        incoming.require(prompt.rules, unknown)
    arguments = incoming.params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ProtocolError(INVALID_PARAMS, '"arguments" must be an object')
    return prompt.call(incoming, arguments)


def _encode_message(value: Any, revision: Revision) -> bytes:
    if type(value).__name__ == "PromptMessage" and isinstance(value, BaseModel):
        body = plain(value)
        role, block = body["role"], encode(body["content"])
    else:
        message = value if isinstance(value, Message) else Message(value)
        role, block = message.role, content.block(message.content)
    [block] = content.readable([block], revision)
    return b'{"role":%b,"content":%b}' % (encode(role), block)
