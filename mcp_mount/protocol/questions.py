"""Questions: what a handler asks the client while it answers a request.

In the handshake revisions a question is a request of its own, which goes out on the stream of the
call; its answer comes in as another HTTP request, and the backplane brings the two together. In
2026-07-28 the call ends with the question, and runs again when the client repeats it with the
answer (basic/patterns/mrtr).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mcp_mount.protocol.errors import MISSING_CLIENT_CAPABILITY, ClientError, ProtocolError
from mcp_mount.protocol.messages import ResponseMessage, encode_request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inquiry(Generic[T]):
    """A question in any revision: a method with its parameters.

    capability: what the client must have declared. read: turns the result of the client into what
    the handler gets; raises ClientError if it does not fit.
    """

    method: str
    params: Mapping[str, Any]
    capability: str
    read: Callable[[Any], T]


class InputRequired(BaseException):
    """Ends a call whose handler needs answers that the client has not given yet.

    It is no Exception, so that a handler's own `except Exception` lets it pass.
    """

    def __init__(self, inquiries: Mapping[str, Inquiry[Any]]) -> None:
        super().__init__(*inquiries)
        self.inquiries = inquiries


class Dialogue(Protocol):
    """How the questions of one call are put to its client."""

    def known(self, inquiries: Mapping[str, Inquiry[Any]]) -> dict[str, Any] | None:
        """The answers, where they have come with the request; None where each must be put live.

        Raises InputRequired to end the call until they come, and ProtocolError or ClientError for
        a question that this client cannot be asked.
        """

    def put(self, inquiry: Inquiry[Any]) -> Question:
        """Make a live question."""


class RoundTrips:
    """The dialogue of 2026-07-28: answers come with a repeated request."""

    def __init__(self, capabilities: Mapping[str, Any], answers: Mapping[str, Any]) -> None:
        self._capabilities = capabilities
        self.answers = answers

    def known(self, inquiries: Mapping[str, Inquiry[Any]]) -> dict[str, Any]:
        missing = {one.capability for one in inquiries.values()} - set(self._capabilities)
        if missing:
            raise ProtocolError(
                MISSING_CLIENT_CAPABILITY,
                f"The client must support {', '.join(sorted(missing))} for this",
                data={"requiredCapabilities": {name: {} for name in sorted(missing)}},
            )
        answers: dict[str, Any] = {}
        wanting: dict[str, Inquiry[Any]] = {}
        for key, inquiry in inquiries.items():
            try:
                answers[key] = inquiry.read(self.answers[key])
            except (KeyError, ClientError):
                # Not answered, or with what does not fit: the client is asked (again).
                wanting[key] = inquiry
        if wanting:
            raise InputRequired(wanting)
        return answers

    def put(self, inquiry: Inquiry[Any]) -> Question:
        raise AssertionError("this revision has no live questions")


class Answers(Protocol):
    """Where live answers arrive: the part of the backplane that questions use."""

    def expect(self, session: str, question: str) -> Future[Any]: ...
    def forget(self, session: str, question: str) -> None: ...


class LiveDialogue:
    """The dialogue of the handshake revisions: each question is a request of its own."""

    def __init__(
        self,
        answers: Answers,
        session: str,
        capabilities: Mapping[str, Any],
        timeout: float,
        *,
        possible: bool,
    ) -> None:
        self._possible = possible
        self._answers = answers
        self._session = session
        self._capabilities = capabilities
        self._timeout = timeout

    def known(self, inquiries: Mapping[str, Inquiry[Any]]) -> None:
        if not self._possible:
            raise ClientError("This server has a single thread: it cannot wait for an answer")
        for inquiry in inquiries.values():
            if inquiry.capability not in self._capabilities:
                raise ClientError(f"The client does not support {inquiry.capability}")

    def put(self, inquiry: Inquiry[Any]) -> Question:
        return Question(self._answers, self._session, inquiry, self._timeout)


class Question:
    """A live question that is waiting for its answer.

    message: the encoded request. answer: the future response of the client. timeout: how long to
    wait for it, in seconds.
    """

    def __init__(
        self, answers: Answers, session: str, inquiry: Inquiry[Any], timeout: float
    ) -> None:
        self.timeout = timeout
        self._answers = answers
        self._session = session
        self._inquiry = inquiry
        self._id = secrets.token_hex(8)
        self.message = encode_request(self._id, inquiry.method, inquiry.params)
        self.answer: Future[ResponseMessage] = answers.expect(session, self._id)

    def result(self) -> Any:
        """What the handler gets, once there is an answer.

        Raises ClientError if the client answered with an error, with what does not fit, or not in
        time.
        """
        if not self.answer.done() or self.answer.cancelled():
            raise ClientError("The client did not answer in time")
        response = self.answer.result()
        if response.error is not None:
            raise ClientError(f"The client refused: {response.error.get('message', 'no reason')}")
        return self._inquiry.read(response.result)

    def close(self) -> None:
        """Stop waiting."""
        self._answers.forget(self._session, self._id)


def as_requests(inquiries: Mapping[str, Inquiry[Any]]) -> dict[str, Any]:
    """The `inputRequests` of a result."""
    return {key: {"method": one.method, "params": one.params} for key, one in inquiries.items()}
