"""Questions: requests that a handler puts to the client while its call runs.

In the handshake revisions a question goes out on the stream of the call, and the answer comes in
as a message of its own, perhaps on another thread: the backplane brings the two together.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final, Protocol

from mcp_mount.protocol.errors import ClientError
from mcp_mount.protocol.messages import ResponseMessage, encode_request

CAPABILITIES: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""The client capability that each question needs."""


class Answers(Protocol):
    """Where answers arrive: the part of the backplane that questions use."""

    def expect(self, session: str, question: str) -> Future[Any]: ...
    def forget(self, session: str, question: str) -> None: ...


class Question:
    """A question that is waiting for its answer.

    message: the encoded request. answer: the future response of the client. timeout: how long to
    wait for it, in seconds.
    """

    def __init__(
        self, answers: Answers, session: str, method: str, params: Mapping[str, Any], timeout: float
    ) -> None:
        self.timeout = timeout
        self._answers = answers
        self._session = session
        self._id = secrets.token_hex(8)
        self.message = encode_request(self._id, method, params)
        self.answer: Future[ResponseMessage] = answers.expect(session, self._id)

    def result(self) -> Any:
        """The result in the answer, once there is one.

        Raises ClientError if the client answered with an error, or not in time.
        """
        if not self.answer.done() or self.answer.cancelled():
            raise ClientError("The client did not answer in time")
        response = self.answer.result()
        if response.error is not None:
            raise ClientError(f"The client refused: {response.error.get('message', 'no reason')}")
        return response.result

    def close(self) -> None:
        """Stop waiting."""
        self._answers.forget(self._session, self._id)
