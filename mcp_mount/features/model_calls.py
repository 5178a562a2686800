"""What calls of chat models, of embeddings and of image backends have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from mcp_mount.calls.call import Call
from mcp_mount.calls.catalogue import HandlerCall
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.features.models import RegisteredModel
from mcp_mount.features.reserving import Metered
from mcp_mount.llm.answers import Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import ReaderLeft
from mcp_mount.wire.errors import CallRejected
from mcp_mount.wire.revisions import Revision

T = TypeVar("T")


class ModelCall(Call, Generic[T]):
    """A call of what is registered as a model.

    Attributes:
        model: The model, as it is registered.
        refusal: What has ended the call, in place of an answer.
    """

    __slots__ = ("_answered", "model", "refusal")

    def __init__(
        self,
        incoming: IncomingRequest,
        model: RegisteredModel,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        *,
        is_async: bool,
        encode: Callable[[Any, Revision], Result],
        context: tuple[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        validate: Callable[[Mapping[str, Any]], HandlerCall] | None = None,
    ) -> None:
        """Prepare a call.

        Args:
            incoming: The request of this call.
            model: The model.
            function: Asks it.
            args: What the function takes, besides a context.
            is_async: Whether the function is a coroutine function.
            encode: Makes a result of the answer.
            context: The parameter that gets a context, and the kind of it.
            arguments: What policies see of the request.
            validate: Takes what call middleware has made of the arguments.
        """
        self.model = model
        self.refusal: Exception | None = None
        self._answered: tuple[Result, T] | None = None
        super().__init__(
            incoming,
            function,
            args,
            is_async=is_async,
            encode=encode,
            recover=self._note_refusal,
            context=context,
            policies=model.policies.chain,
            arguments=arguments,
            validate=validate,
        )

    def answer(self) -> T:
        """The answer, once the call has ended.

        Raises:
            Exception: What has ended it instead.
            Suspended: If the client must be asked first, which ends the outer call, too.
        """
        if self.result is None and self.failure is None and self.error is None:
            raise _client_left()
        result = self.finish()
        if result.suspended is not None:
            raise result.suspended
        if isinstance(self.refusal, ReaderLeft):
            raise _client_left()
        if self.refusal is not None:
            raise self.refusal
        if self._answered is not None and self._answered[0] is result:
            return self._answered[1]
        # It was kept from an earlier call, or made by call middleware.
        return self._answer_in(from_json(b"{%b}" % result.members)["value"])

    def known_answer(self) -> T | None:
        """The answer of the model itself, if it has given one in this call."""
        return None if self._answered is None else self._answered[1]

    def used(self) -> tuple[Usage | None, float | None]:
        """The tokens and the cost of the answer, if they are known."""
        raise NotImplementedError

    def most(self, max_tokens: int) -> Usage:
        """How many tokens it takes, at most.

        Args:
            max_tokens: The longest answer, where the request does not say it.
        """
        raise NotImplementedError

    def limit_answer(self, max_tokens: int) -> None:
        """Ask for no longer an answer, if the request does not limit it.

        Args:
            max_tokens: The limit.
        """

    def note_spending(self, metering: Metered) -> None:
        """Note what the answer has taken, where a budget asks for that.

        Args:
            metering: What was answered, and whether somebody waited for its end.
        """
        raise NotImplementedError

    def _answer_in(self, value: Any) -> T:
        """The answer that a result has, in JSON form."""
        raise NotImplementedError

    def _keep(self, answer: T, data: bytes) -> Result:
        """The result for an answer.

        Args:
            answer: The answer.
            data: Its JSON form, for policies.
        """
        result = Result(b'"value":%b' % data)
        self._answered = result, answer
        return result

    def _note_refusal(self, call: Call, error: Exception) -> Result:
        self.refusal = error
        if not isinstance(error, ModelError | CallRejected | ReaderLeft):
            # The log has it from whoever answers.
            call.incoming.hooks.failed(call, error)
        return Result(b"", failed=True)


def _client_left() -> ModelError:
    return ModelError("The client has left", status=499)
