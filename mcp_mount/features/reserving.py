"""The part of a call in which a model or a backend is asked: what it takes is reserved before, and
noted after, where a budget asks for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

from mcp_mount.calls.flows import Flow, Run
from mcp_mount.calls.spending import Spending, nanos_of
from mcp_mount.features.prices import Pricing, budgeted_cost
from mcp_mount.llm.answers import Usage
from mcp_mount.llm.models import ReaderLeft
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.threads import PLAIN
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

DEFAULT_MAX_TOKENS: Final = 4096
"""The longest answer that a budget reserves for, where nothing else says it."""


class MeteredCall(Protocol):
    """A call that asks a model.

    Attributes:
        name: The name of the model.
    """

    @property
    def name(self) -> str: ...

    def most(self, max_tokens: int) -> Usage:
        """How many tokens it takes, at most."""

    def limit_answer(self, max_tokens: int) -> None:
        """Ask for no longer an answer, if the request does not limit it."""


class Metered:
    """What one question to a model takes.

    Args:
        call: The call that asks it.
        price: What it costs, if that is known.
        outer: What is used up around it.

    Attributes:
        spending: What it uses up itself.
        most: What it takes at most, once that is reserved.
        has_begun: Whether the model has been asked.
        is_cut: Whether it was still answering when nobody waited for it any more.
        answer: What it has answered, if it has.
    """

    def __init__(self, call: MeteredCall, price: Pricing | None, outer: Spending) -> None:
        self._call = call
        self._price = price
        self.spending = Spending(outer)
        self.most = Usage()
        self.has_begun = False
        self.is_cut = False
        self.answer: Any = None

    def ask(self, answer: Callable[[], Any], *, passes_on: bool = False) -> Any:
        """Ask a model that is plain code, on this thread.

        Args:
            answer: Asks it.
            passes_on: Whether it only asks others, which reserve for themselves.

        Raises:
            CallRejected: If a budget has not so much left.
        """
        if not passes_on:
            follow(self._reserve())
        self.has_begun = True
        self.answer = answer()
        return self.answer

    async def ask_async(self, answer: Callable[[], Any], *, passes_on: bool = False) -> Any:
        """As `ask`, for a coroutine function, on its event loop."""
        if not passes_on:
            await follow_async(self._reserve(), PLAIN)
        self.has_begun = True
        self.answer = await answer()
        return self.answer

    def note(self, used: Usage) -> None:
        """Note what was used up, as far as what was called within has not done so.

        Args:
            used: What the model says, or what it must have been.
        """
        price, spending = self._price, self.spending
        cost = price.cost(used) if price is not None and spending.counts_money else 0.0
        spending.be_at_least(used.input_tokens, used.output_tokens, cost)

    def _reserve(self) -> Flow[None]:
        reservations = self.spending.reservations()
        limits = [one.max_tokens for one in reservations if one.max_tokens is not None]
        if limits:
            self._call.limit_answer(min(limits))
        self.most = self._call.most(min(limits, default=DEFAULT_MAX_TOKENS))
        cost = 0.0
        if self.spending.counts_money:
            if self._price is None:
                _warn_of_no_price(self._call.name)
            elif self._price.is_at_hand:
                cost = budgeted_cost(self._call.name, self._price, self.most)
            else:
                # The table is read, once: that takes a while.
                cost = yield Run(partial(budgeted_cost, self._call.name, self._price, self.most))
        self.spending.expect(self.most.input_tokens + self.most.output_tokens, nanos_of(cost))
        for reservation in reservations:
            yield from reservation.cover(self._call.name)


@contextmanager
def metered(call: Any, price: Pricing | None) -> Iterator[Metered]:
    """The question of a call to its model, whose request has a spending; its own replaces that
    meanwhile.

    Args:
        call: The call.
        price: What the model costs, if that is known.
    """
    outer = call.incoming.spending
    metering = Metered(call, price, outer)
    call.incoming.spending = metering.spending
    try:
        yield metering
    except BaseException as error:
        is_cut = isinstance(error, ReaderLeft) or not isinstance(error, Exception)
        metering.is_cut = metering.has_begun and is_cut
        raise
    finally:
        call.incoming.spending = outer
        try:
            if metering.has_begun:
                call.note_spending(metering)
        finally:
            metering.spending.end()


_warned: Final[set[str]] = set()


def _warn_of_no_price(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        logger.warning(
            "The model %r has no price, so it costs nothing in budgets of money: declare price=",
            name,
        )
