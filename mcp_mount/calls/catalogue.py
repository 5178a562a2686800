"""What a server offers, as the protocol core needs to know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from mcp_mount.calls.call import Call
from mcp_mount.calls.flows import Flow
from mcp_mount.calls.incoming import IncomingRequest, ServerHandlers
from mcp_mount.calls.results import Result
from mcp_mount.wire.messages import Rule
from mcp_mount.wire.revisions import Revision

HandlerCall: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of a handler."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the protocol that a feature answers, in every revision.

    Attributes:
        answer: Returns the result, or the call of a handler.
        name_member: The member of params that the Mcp-Name header mirrors (2026-07-28).
        streams: Whether the only possible answer is an event stream.
    """

    answer: Callable[[IncomingRequest], Result | Call]
    name_member: str | None = None
    streams: bool = False


@dataclass(frozen=True, slots=True)
class FlowMethod:
    """A method whose answer may need another process: a flow gives it. Otherwise as `Method`."""

    answer: Callable[[IncomingRequest], Flow[Result | Call]]
    name_member: str | None = None
    streams: bool = False


@dataclass(frozen=True, slots=True)
class DirectTool:
    """A tool that has nothing around its calls: no policies, rules or checks; its handler gets
    neither the context nor the request, and no task is made of it.

    Attributes:
        name: Its name.
        function: Its handler.
        is_async: Whether that is a coroutine function.
        validate: Returns the positional and keyword arguments of the handler for what a client
            sent; raises for what does not fit.
        encode: Returns the result for a value of the handler; raises for one that does not fit.
        call: Makes the call of a request, of what a client sent and of what `validate` has returned
            for that, if it has been asked; or the result that says what does not fit.
    """

    name: str
    function: Callable[..., Any]
    is_async: bool
    validate: Callable[[Mapping[str, Any]], HandlerCall]
    encode: Callable[[Any, Revision], Result]
    call: Callable[[IncomingRequest, Mapping[str, Any], HandlerCall | None], Result | Call]


class Catalogue(ServerHandlers, Protocol):
    """What a server offers, as the core needs to know it."""

    @property
    def version(self) -> int:
        """Another number after each change."""

    @property
    def methods(self) -> Mapping[str, Method]:
        """The methods answered now, by name."""

    def capabilities(self) -> Mapping[str, Any]:
        """The server capabilities to declare for them."""

    def serves(self, uri: str, incoming: IncomingRequest) -> bool:
        """Whether there is a resource at `uri`, or a template of it, that the caller may use."""

    @property
    def direct_tools(self) -> Mapping[str | bytes, DirectTool | None]:
        """The tools that have nothing around their calls, by their names, also as bytes; None for
        any other name. Another object after each change."""

    def rules_of_tool(self, name: str) -> Sequence[Rule] | None:
        """The rules of a tool, with those of all that is around it; None if there is none."""

    def names_of(self, rules: Sequence[Rule]) -> list[str]:
        """The names of the entries that ask for no more than these rules, and for some of them: by
        these another process finds the same rules.

        Args:
            rules: Those that a caller has met.
        """

    def rules_of(self, names: Sequence[str]) -> Sequence[Rule] | None:
        """The rules of entries; None if there is not each of them.

        Args:
            names: As `names_of` gives them.
        """
