"""What calls use up, in tokens and money: each adds to its own, and to that of all around it.

What a call may still take is known here as well, so that a budget around it keeps enough free.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Final, Protocol

from mcp_mount.calls.flows import Flow

NANO: Final = 1_000_000_000
"""Money is counted in billionths of a dollar: whole numbers add up exactly."""


class Reservation(Protocol):
    """What a budget keeps free for a call, and for all that it asks.

    Attributes:
        max_tokens: The longest answer of a model, where a request does not say it; None if the
            budget does not depend on that.
    """

    @property
    def max_tokens(self) -> int | None: ...

    def cover(self, name: str) -> Flow[None]:
        """Reserve what is missing for what is needed now.

        Args:
            name: What needs it, for the error.

        Raises:
            CallRejected: If there is not so much left.
        """

    def settle_late(self) -> None:
        """Count what was used by something that has gone on after the call had ended."""


class Spending:
    """What a call has used up, and what it may take yet, with all that it has called.

    Args:
        outer: That of the call around it.
        counts_money: Whether the cost is asked for; it is if the outer call asks for it.
        reservation: What a budget keeps free for the call.

    Attributes:
        counts_money: Whether the cost is asked for.
        input_tokens: Tokens that models have read.
        output_tokens: Tokens that models have written.
        nanos: The cost, in billionths of a dollar.
    """

    __slots__ = (
        "_inner",
        "_is_over",
        "_lock",
        "_most",
        "_outer",
        "_reservation",
        "counts_money",
        "input_tokens",
        "nanos",
        "output_tokens",
    )

    def __init__(
        self,
        outer: Spending | None = None,
        *,
        counts_money: bool = False,
        reservation: Reservation | None = None,
    ) -> None:
        self._outer = outer
        self._reservation = reservation
        self.counts_money: bool = counts_money or (outer is not None and outer.counts_money)
        # One for all that belong together: what is needed is a sum over them.
        self._lock: threading.Lock = threading.Lock() if outer is None else outer._lock
        self._inner: set[Spending] = set()
        self._most = (0, 0)
        self._is_over = False
        self.input_tokens = 0
        self.output_tokens = 0
        self.nanos = 0

    def add(self, input_tokens: int, output_tokens: int, cost: float) -> None:
        """Note what was used up.

        Args:
            input_tokens: Tokens that models have read.
            output_tokens: Tokens that models have written.
            cost: In US dollars.
        """
        with self._lock:
            self._add(input_tokens, output_tokens, nanos_of(cost))

    def be_at_least(self, input_tokens: int, output_tokens: int, cost: float) -> None:
        """Note what a call says of itself. Its numbers may have what it has called in them, which
        is noted already: only what is missing is added.

        Args:
            input_tokens: Tokens that it says were read.
            output_tokens: Tokens that it says were written.
            cost: In US dollars.
        """
        with self._lock:
            self._add(
                max(0, input_tokens - self.input_tokens),
                max(0, output_tokens - self.output_tokens),
                max(0, nanos_of(cost) - self.nanos),
            )

    def expect(self, tokens: int, nanos: int) -> None:
        """Note what the call takes at most, as long as it has not ended.

        Args:
            tokens: Tokens, read and written.
            nanos: The cost, in billionths of a dollar.
        """
        with self._lock:
            self._most = tokens, nanos
            one = self
            while one._outer is not None:
                one._outer._inner.add(one)
                one = one._outer

    def needed(self) -> tuple[int, int]:
        """What has been used up, and what may come yet: tokens, and billionths of a dollar."""
        with self._lock:
            tokens, nanos = self._outstanding()
            return self.input_tokens + self.output_tokens + tokens, self.nanos + nanos

    def end(self) -> None:
        """Note that the call has ended. What it has called may go on."""
        with self._lock:
            self._most, self._is_over = (0, 0), True
            one = self
            while one._outer is not None and one._is_over and not one._inner:
                one._outer._inner.discard(one)
                one = one._outer
            late = [
                one._reservation
                for one in self._around()
                if one._is_over and one._reservation is not None
            ]
        for reservation in late:
            reservation.settle_late()

    def reservations(self, *, with_own: bool = False) -> list[Reservation]:
        """What budgets keep free for the calls around, the innermost first.

        Args:
            with_own: Whether that of this call is among them.
        """
        around = [self, *self._around()] if with_own else self._around()
        return [one._reservation for one in around if one._reservation is not None]

    def _around(self) -> Iterator[Spending]:
        one = self._outer
        while one is not None:
            yield one
            one = one._outer

    def _add(self, input_tokens: int, output_tokens: int, nanos: int) -> None:
        one: Spending | None = self
        while one is not None:
            one.input_tokens += input_tokens
            one.output_tokens += output_tokens
            one.nanos += nanos
            one = one._outer

    def _outstanding(self) -> tuple[int, int]:
        """What may come yet. What a call asks others for may be in its own answer, or besides: the
        larger number counts."""
        tokens = nanos = 0
        for one in self._inner:
            more = one._outstanding()
            tokens, nanos = tokens + more[0], nanos + more[1]
        used = self.input_tokens + self.output_tokens
        return max(0, self._most[0] - used, tokens), max(0, self._most[1] - self.nanos, nanos)


def nanos_of(cost: float) -> int:
    """US dollars in billionths, rounded up; what is but the error of a multiplication is not."""
    return math.ceil(round(cost * NANO, 3))
