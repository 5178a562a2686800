"""What clients do that is more than a request and its answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.client import Act, Connection
from benchmarks.messages import Request, call, reply

CAPABILITIES: Any = {"elicitation": {}}
_YES = {"action": "accept", "content": {"sure": True}}


async def ask_again(connection: Connection) -> bool:
    """A call that asks the user, and the same call with the answer (2026-07-28)."""
    first = await connection.request(_asking().encode())
    result = json.loads(first.body)["result"]
    responses = dict.fromkeys(result["inputRequests"], _YES)
    state = result["requestState"]
    last = await connection.request(_asking(inputResponses=responses, requestState=state).encode())
    return b"hello" in last.body


def _asking(**params: Any) -> Request:
    return call("ask", capabilities=CAPABILITIES, more=params)


def ask_within(session: str) -> Act:
    """A call that asks on its stream, and the answer beside it (2025-11-25)."""
    following = call("ask", in_session=True).within(session).encoder()

    async def act(connection: Connection) -> bool:
        beside = await connection.beside()
        await connection.begin(following())
        right = False
        async for message in messages(connection):
            if "method" in message:
                answer = reply(message["id"], _YES, session)
                accepted = await beside.request(answer.encode())
                assert accepted.status == 202, accepted
            else:
                right = "hello" in str(message)
        return right

    return act


async def messages(connection: Connection) -> AsyncIterator[Any]:
    """The messages of an event stream."""
    waiting = b""
    async for chunk in connection.chunks():
        *events, waiting = (waiting + chunk).split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])


def streaming(request: Request, count: int) -> Act:
    """A request that is answered with a stream of at least so many events."""
    data = request.encode()

    async def act(connection: Connection) -> bool:
        response = await connection.request(data)
        return request.expect in response.body and response.body.count(b"data: ") >= count

    return act
