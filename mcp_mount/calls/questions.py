"""Questions: what a handler asks the client while it answers a request.

In the session revisions a question is a request of its own, which goes out on the stream of the
call; its answer comes in as another HTTP request, perhaps of another process. In
2026-07-28 the call ends with the question, and runs again when the client repeats it with the
answer (basic/patterns/mrtr). A task shows its questions to whoever looks at it, and waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from mcp_mount.calls.answers import WaitingAnswers
from mcp_mount.wire.errors import (
    ClientError,
    EndsRun,
    MissingClientCapability,
)
from mcp_mount.wire.messages import ResponseMessage, encode_request
from mcp_mount.wire.revisions import Revision

T = TypeVar("T")

FORMS: Final = ("elicitation",)
"""The capability of a client that shows forms."""

_MAX_ROUNDS: Final = 3
"""How often a question is put to a client that answers with what does not fit."""


class UnfitAnswer(ClientError):
    """An answer that does not fit its question: the client may be asked once more."""


@dataclass(frozen=True, slots=True)
class InputRequest(Generic[T]):
    """A request for input from the client, in any revision.

    Attributes:
        method: The method of the protocol, such as "elicitation/create".
        params: Its parameters.
        capability: The path of what the client must have declared, such as ("elicitation", "url").
        read: Turns the client's result into what the handler gets; raises UnfitAnswer.
    """

    method: str
    params: Mapping[str, Any]
    capability: tuple[str, ...]
    read: Callable[[Any], T]

    def again(self, error: UnfitAnswer) -> InputRequest[T]:
        """The question once more; a person is told what was wrong."""
        if "message" not in self.params:
            return self
        message = f"{self.params['message']}\n\n{error}"
        return replace(self, params={**self.params, "message": message})


class Suspended(EndsRun):
    """Ends a run of a handler whose call goes on otherwise."""


class InputRequired(Suspended):
    """The handler needs answers that the client has not given yet."""

    def __init__(self, input_requests: Mapping[str, InputRequest[Any]]) -> None:
        super().__init__(*input_requests)
        self.input_requests = input_requests


class Dialogue(Protocol):
    """How the questions of one call are put to its client."""

    def known(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        """The answers that have come already; all others must be put live.

        Args:
            input_requests: The requests, by their keys.

        Raises:
            InputRequired: To end the call until they come.
            ProtocolError: If the client cannot be asked one of them.
            ClientError: If the client's answer does not fit.
        """

    def put(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, PendingInput]:
        """Make live questions."""


class PendingInput:
    """A live request for input that waits for its answer.

    Args:
        input_request: The request.
        answer: The future response of the client; None if its session has ended.
        timeout: How long to wait for it, in seconds.
        message: The encoded request, if it is a message.
        close: Stops waiting.
    """

    __slots__ = ("_inquiry", "answer", "close", "message", "timeout")

    def __init__(
        self,
        input_request: InputRequest[Any],
        answer: Future[ResponseMessage | None],
        timeout: float,
        *,
        close: Callable[[], None],
        message: bytes | None = None,
    ) -> None:
        self._inquiry = input_request
        self.answer = answer
        self.timeout = timeout
        self.close = close
        self.message = message

    def result(self) -> Any:
        """What the handler gets, once there is an answer.

        Raises:
            ClientError: If the client answered with an error, or not in time, or has ended the
                session.
            UnfitAnswer: If the answer does not fit.
        """
        if not self.answer.done() or self.answer.cancelled():
            raise ClientError("The client did not answer in time")
        response = self.answer.result()
        if response is None:
            raise ClientError("The client has ended the session")
        if response.error is not None:
            raise ClientError(f"The client refused: {response.error.get('message', 'no reason')}")
        return self._inquiry.read(response.result)


class PendingQuestions:
    """Several questions at once, until each has an answer that fits.

    While `unanswered` has any, put them with `ask_live` and wait for their answers within it.
    """

    def __init__(self, dialogue: Dialogue, input_requests: Mapping[str, InputRequest[Any]]) -> None:
        self._dialogue = dialogue
        self._order = list(input_requests)
        self._answers = dialogue.known(input_requests)
        self._rounds = 0
        self.unanswered = {
            key: input_request
            for key, input_request in input_requests.items()
            if key not in self._answers
        }

    @property
    def answers(self) -> dict[str, Any]:
        """All answers, in the order of the questions."""
        return {key: self._answers[key] for key in self._order}

    @contextmanager
    def ask_live(self) -> Iterator[Sequence[PendingInput]]:
        """Put the requests that are unanswered; at the end of the block, read the answers.

        Raises:
            ClientError: If the client does not answer, or never with what fits.
        """
        questions = self._dialogue.put(self.unanswered)
        self._rounds += 1
        try:
            yield list(questions.values())
            for key, question in questions.items():
                try:
                    self._answers[key] = question.result()
                    del self.unanswered[key]
                except UnfitAnswer as error:
                    if self._rounds == _MAX_ROUNDS:
                        raise
                    self.unanswered[key] = self.unanswered[key].again(error)
        finally:
            for question in questions.values():
                question.close()


class MultiRoundTripDialogue:
    """The dialogue of 2026-07-28: answers come with a repeated request."""

    def __init__(self, capabilities: Mapping[str, Any], answers: Mapping[str, Any]) -> None:
        self._capabilities = capabilities
        self.answers = answers

    def known(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        require_capabilities(self._capabilities, input_requests)
        answers, unanswered = read_answers(input_requests, self.answers)
        if unanswered:
            raise InputRequired(unanswered)
        return answers

    def put(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, PendingInput]:
        raise AssertionError("this revision has no live questions")


class WaitingPlaces(Protocol):
    """How many calls may wait for their clients: those that hold a thread meanwhile."""

    def begin_question(self, max_waiting: int | None) -> bool: ...
    def end_question(self) -> None: ...


class StreamDialogue:
    """The dialogue of the session revisions: each question is a request of its own."""

    def __init__(
        self,
        answers: WaitingAnswers,
        session: str,
        revision: Revision,
        capabilities: Mapping[str, Any],
        timeout: float,
        *,
        places: WaitingPlaces,
        max_waiting: int | None,
    ) -> None:
        self._places = places
        self._max_waiting = max_waiting
        self._answers = answers
        self._session = session
        self._revision = revision
        self._capabilities = capabilities
        self._timeout = timeout

    def known(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
        if self._max_waiting == 0:
            raise ClientError("This server has a single thread: it cannot wait for an answer")
        for input_request in input_requests.values():
            asked = input_request.capability
            if asked not in self._revision.questions:
                raise ClientError(f"{self._revision.name} does not have {'.'.join(asked)}")
            if not _declared(self._capabilities, asked):
                raise ClientError(f"The client does not support {'.'.join(asked)}")
        return {}

    def put(self, input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, PendingInput]:
        if not self._places.begin_question(self._max_waiting):
            raise ClientError(
                "As many calls as this server allows are waiting for answers of their clients: "
                "try again later"
            )
        left = set(input_requests)

        def close(key: str, question_id: str) -> None:
            self._answers.forget(self._session, question_id)
            if key in left:
                left.discard(key)
                if not left:
                    self._places.end_question()

        return {
            key: self._question(key, input_request, close)
            for key, input_request in input_requests.items()
        }

    def _question(
        self, key: str, input_request: InputRequest[Any], close: Callable[[str, str], None]
    ) -> PendingInput:
        question_id = self._answers.new_id()
        return PendingInput(
            input_request,
            self._answers.expect(self._session, question_id),
            self._timeout,
            close=partial(close, key, question_id),
            message=encode_request(question_id, input_request.method, input_request.params),
        )


def read_answers(
    input_requests: Mapping[str, InputRequest[Any]], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, InputRequest[Any]]]:
    """What a client has answered already, and what it must be asked, once more perhaps."""
    answers: dict[str, Any] = {}
    unanswered: dict[str, InputRequest[Any]] = {}
    for key, input_request in input_requests.items():
        if key not in given:
            unanswered[key] = input_request
            continue
        try:
            answers[key] = input_request.read(given[key])
        except UnfitAnswer as error:
            unanswered[key] = input_request.again(error)
    return answers, unanswered


def require_capabilities(
    capabilities: Mapping[str, Any], input_requests: Mapping[str, InputRequest[Any]]
) -> None:
    """Refuse input requests that a client has not declared to understand.

    Args:
        capabilities: The capabilities of the client.
        input_requests: The requests, by their keys.

    Raises:
        MissingClientCapability: With the capability that is missing.
    """
    missing = sorted(
        {
            input_request.capability
            for input_request in input_requests.values()
            if not _declared(capabilities, input_request.capability)
        }
    )
    if not missing:
        return
    required: dict[str, Any] = {}
    for path in missing:
        node = required
        for name in path:
            node = node.setdefault(name, {})
    raise MissingClientCapability(
        f"The client must support {', '.join(map('.'.join, missing))} for this", required
    )


def _declared(capabilities: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether a client declares what a path names. Elicitation without any mode means forms."""
    node: Any = capabilities
    for name in path:
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    if path == FORMS and isinstance(node, dict):
        return "form" in node or "url" not in node
    return True


def as_requests(input_requests: Mapping[str, InputRequest[Any]]) -> dict[str, Any]:
    """The `inputRequests` of a result."""
    return {
        key: {"method": one.method, "params": one.params} for key, one in input_requests.items()
    }
