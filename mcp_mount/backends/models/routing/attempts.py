"""One answer of a route: asking its members, with retries, until one of them answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mcp_mount.backends.models.routing.choices import Candidate
from mcp_mount.backends.models.routing.health import TRIAL_SECONDS, Breaker, Permit
from mcp_mount.backends.models.routing.held import HeldPieces
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.llm.answers import ChatCompletion
from mcp_mount.llm.errors import ModelError, ModelRefused
from mcp_mount.llm.models import Invocation, ReaderLeft
from mcp_mount.transports.executor import waiting_thread
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.errors import ClientError
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")
# The numbers of the `random` module are the application's: it may have seeded them.
_random = random.SystemRandom()

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 4.0
_CLIENT_LEFT: Final = 499

_CLEANING_SECONDS: Final = 0.2
"""How long a member that is given up may take to end before the next one is asked. Python cannot
stop a thread: a plain function may go on for long."""


class Attempts:
    """The attempts to get one answer, and why they have failed so far.

    Args:
        name: The name of the route.
        breaker: When members are left alone.
        retries: How often each is asked again.
        again: Whether a failure may pass.
    """

    def __init__(
        self,
        name: str,
        breaker: Breaker | None,
        retries: int,
        again: Callable[[ModelError], bool],
    ) -> None:
        self._name = name
        self._breaker = breaker
        self._retries = retries
        self._again = again
        self._failures: dict[str, ModelError] = {}
        self._refusals: list[ModelError] = []
        self._rests: list[float] = []

    async def ask(
        self,
        member: Candidate,
        invocation: Invocation,
        ask: Callable[[HeldPieces], Awaitable[ChatCompletion]],
    ) -> ChatCompletion | None:
        """Ask a member as often as that may help.

        Args:
            member: The member.
            invocation: What the route is asked.
            ask: Asks it once.

        Returns:
            The answer; None if the next member is to be asked.

        Raises:
            ModelError: For a failure that another attempt would not change, or that comes too late.
        """
        for number in range(self._retries + 1):
            if number:
                await asyncio.sleep(_pause(number))
            permit = member.health.begin(self._breaker)
            if not isinstance(permit, Permit):
                self._rests.append(permit)
                return None
            named = partial(_named, invocation.incoming, member)
            held = HeldPieces(invocation.pieces, named)
            answered, retry_after = None, None
            try:
                async with _claimed(member, permit) as is_ours:
                    if not is_ours:
                        self._rests.append(TRIAL_SECONDS)
                        return None
                    completion = await ask(held)
                answered = True
                return replace(completion, model=named(completion.model))
            except (ModelRefused, ClientError) as error:
                self._refusals.append(_as_model_error(error))
                return None
            except ModelError as error:
                if held.reader_left:
                    raise ReaderLeft from None
                if error.status == _CLIENT_LEFT:
                    # It was not asked to its end: that is no failure, and no answer either.
                    raise
                # What is wrong with the request is no failure of the member.
                answered, retry_after = not self._again(error), error.retry_after
                if answered or (held.has_begun and invocation.request.stream):
                    raise
                self._failures[member.name] = error
                logger.warning(
                    "The model %r has not answered %r: %s", member.name, self._name, error
                )
            finally:
                member.health.end(permit, self._breaker, answered=answered, retry_after=retry_after)
            if retry_after:
                # It has said when: until then others may do better.
                return None
        return None

    def failure(self) -> ModelError:
        """Why there is no answer.

        Raises:
            RuntimeError: If no member was to be asked at all.
        """
        name = self._name
        waits = [one.retry_after for one in self._failures.values() if one.retry_after]
        after = min([*self._rests, *waits], default=None)
        if len(self._failures) == 1 and not self._rests:
            only = next(iter(self._failures.values()))
            only.was_retried = True
            return only
        if self._failures:
            told = "; ".join(f"{one}: {error}" for one, error in self._failures.items())
            status = list(self._failures.values())[-1].status
            error = ModelError(
                f"No model of {name!r} has answered: {told}", status=status, retry_after=after
            )
            error.was_retried = True
            return error
        if self._rests:
            after = min([*self._rests, *_times(self._refusals)])
            return ModelError(
                f"All models of {name!r} are recovering from failures: try again in "
                f"{max(1, round(after))} seconds",
                status=503,
                retry_after=after,
            )
        if not self._refusals:
            raise RuntimeError(f"choose= has named no model for {name!r}")
        throttled = [one for one in self._refusals if one.retry_after is not None]
        if throttled:
            return min(throttled, key=lambda one: one.retry_after or 0)
        if all(one.status in (401, 403, 404) for one in self._refusals):
            words = f"You may use none of the models of {name!r}"
            return ModelError(words, status=403, code="access_denied", again=False)
        return self._refusals[-1]


async def begun_within(
    limit: float, answering: Coroutine[Any, Any, ChatCompletion], held: HeldPieces
) -> ChatCompletion:
    """A whole answer, if its first piece comes in time.

    Args:
        limit: How many seconds the first piece may take.
        answering: Asks the member.
        held: Takes the pieces of its answer.

    Raises:
        ModelError: 504 if it does not.
    """
    task: asyncio.Task[ChatCompletion] = keep(asyncio.create_task(answering))
    try:
        events: set[asyncio.Future[Any]] = {task, held.first}
        await asyncio.wait(events, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and held.give_up():
            cancel(task)
            # On the thread of its request, a plain function is in the way of all others.
            is_in_the_way = waiting_thread() is not None
            await asyncio.wait({task}, timeout=None if is_in_the_way else _CLEANING_SECONDS)
            raise ModelError(f"The model said nothing within {limit:g} seconds", status=504)
        await asyncio.wait({task})
    except asyncio.CancelledError:
        held.give_up()
        cancel(task)
        await wait_until_done(task)
        raise
    return task.result()


def _claimed(member: Candidate, permit: Permit) -> AbstractAsyncContextManager[bool]:
    """Whether this process may ask a member: not if another one tries it after its rest."""
    if member.trials is None or not permit.is_trial:
        return nullcontext(True)
    return member.trials.claimed()


def _named(incoming: IncomingRequest | None, member: Candidate, told: str | None) -> str:
    """The name of the model that answers, as clients may ask for it: an upstream tells names of its
    own, a member that is a route that of its member."""
    handlers = None if incoming is None else incoming.handlers
    is_ours = told is not None and handlers is not None and handlers.model(told) is not None
    return told if told is not None and is_ours else member.name


def _pause(number: int) -> float:
    """How long to wait before another attempt: longer each time, not all at the same moment."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (number - 1))
    return longest * _random.uniform(0.5, 1.0)


def _as_model_error(error: ModelError | ClientError) -> ModelError:
    return error if isinstance(error, ModelError) else ModelError(str(error), status=502)


def _times(errors: Sequence[ModelError]) -> list[float]:
    return [one.retry_after for one in errors if one.retry_after is not None]
