"""What a model is: something that is asked, and answers in pieces or as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.llm.answers import ChatCompletion, Delta, Embeddings, Usage
from mcp_mount.llm.requests import ChatRequest


class Pieces(Protocol):
    """Takes the pieces of an answer, while its model speaks."""

    async def put(self, delta: Delta) -> None:
        """Take a piece, on the event loop of the request; waits for a reader that is slow.

        Args:
            delta: The piece.

        Raises:
            ReaderLeft: If nobody reads any more.
        """

    def put_from_thread(self, delta: Delta) -> None:
        """Take a piece from a plain function; otherwise as `put`.

        Args:
            delta: The piece.
        """


class ReaderLeft(Exception):
    """Nobody reads the answer any more: the model may stop."""


class _NoPieces:
    """Drops the pieces of an answer that is wanted as a whole."""

    async def put(self, delta: Delta) -> None: ...

    def put_from_thread(self, delta: Delta) -> None: ...


NO_PIECES: Final[Pieces] = _NoPieces()
"""For an answer that is wanted as a whole."""


@dataclass(slots=True)
class Invocation:
    """What a model is asked.

    Attributes:
        request: The request.
        pieces: Where the pieces of the answer go, if `request.stream`; the answer is returned as a
            whole as well.
        context: The context of the call, `Context` or `SyncContext`; None if the model does not
            want one.
        rounds: How many tokens there were each time that a model with tools has asked its model:
            each has a price of its own, which may depend on their number.
        incoming: The request that asks for it: its caller, and the handlers of the server. None
            outside a server.
        name: The name of the model, as it is registered; "" outside a server.
    """

    request: ChatRequest
    pieces: Pieces
    context: Any = None
    rounds: list[Usage] = field(default_factory=list)
    incoming: IncomingRequest | None = None
    name: str = ""


class ModelTraits:
    """What models, models of embeddings and image backends may say of themselves besides what they
    must have. Those of this package derive from it; of others, the defaults hold.

    Attributes:
        function: What the user has registered, for errors; None for the object itself.
        needs_only_request: Whether it knows nothing of the call but its request.
        delegates: Whether it only asks others, which count and are counted for themselves.
        has_rounds: Whether it asks its model several times for one answer.
        members: The names of all models that it may ask.
        tool_patterns: Patterns of names, each of which is that of a tool of the server.
        provider: As OpenTelemetry names whoever runs it; None for one in this process.
        address: The host and the port of an upstream.
        has_system_apart: Whether what the system says is no part of the conversation.
        spends_key: Whether it asks an upstream with a key.
        priced_as: Its name at its provider, and the URL of that, by which prices are listed.
    """

    function: Any = None
    needs_only_request: bool = False
    delegates: bool = False
    has_rounds: bool = False
    members: Sequence[str] = ()
    tool_patterns: Sequence[str] = ()
    provider: str | None = None
    address: tuple[str, int] | None = None
    has_system_apart: bool = False
    spends_key: bool = False
    priced_as: tuple[str, str | None] | None = None


def traits_of(part: object) -> ModelTraits:
    """What a model or a backend says of itself; nothing, if it is not of this package.

    Args:
        part: The model, or None.
    """
    return part if isinstance(part, ModelTraits) else _NO_TRAITS


def given_for(part: object) -> Any:
    """What the user has given for a model or a backend, for errors.

    Args:
        part: What answers.
    """
    function = traits_of(part).function
    return part if function is None else function


_NO_TRAITS: Final = ModelTraits()


class Model(Protocol):
    """A chat model.

    Attributes:
        is_async: Whether `answer` is a coroutine function. A plain one runs on the thread of the
            request, or on one of a pool.
        wants_context: Whether `Invocation` has the context of the call.
    """

    is_async: bool
    wants_context: bool

    def answer(self, invocation: Invocation) -> ChatCompletion | Awaitable[ChatCompletion]:
        """Answer a request.

        Args:
            invocation: The request.

        Returns:
            The whole answer.

        Raises:
            ModelError: If there is none, for a reason that the caller may know.
        """


class EmbeddingModel(Protocol):
    """A model that represents texts by vectors. A chat model may be one as well.

    Attributes:
        is_async: Whether `embed` is a coroutine function.
    """

    is_async: bool

    def embed(
        self, texts: Sequence[str], options: Mapping[str, Any]
    ) -> Embeddings | Awaitable[Embeddings]:
        """Represent texts by vectors.

        Args:
            texts: The texts.
            options: All others that the request gives, such as `dimensions` and `user`, in OpenAI's
                form; without `model`, `input` and `encoding_format`.

        Returns:
            A vector for each text, in the same order.

        Raises:
            ModelError: If there are none, for a reason that the caller may know.
        """
