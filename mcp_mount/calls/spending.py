"""What calls use up, in tokens and money: each adds to its own, and to that of all around it."""

from __future__ import annotations

import threading


class Spending:
    """What a call has used up, with all that it has called.

    Args:
        outer: That of the call around it.
        counts_money: Whether the cost is asked for; it is if the outer call asks for it.

    Attributes:
        counts_money: Whether the cost is asked for.
        input_tokens: Tokens that models have read.
        output_tokens: Tokens that models have written.
        cost: In US dollars.
    """

    __slots__ = ("_lock", "_outer", "cost", "counts_money", "input_tokens", "output_tokens")

    def __init__(self, outer: Spending | None = None, *, counts_money: bool = False) -> None:
        self._outer = outer
        self.counts_money: bool = counts_money or (outer is not None and outer.counts_money)
        self._lock = threading.Lock()
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0

    def add(self, input_tokens: int, output_tokens: int, cost: float) -> None:
        """Note what was used up."""
        with self._lock:
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            self.cost += cost
        if self._outer is not None:
            self._outer.add(input_tokens, output_tokens, cost)

    def be_at_least(self, input_tokens: int, output_tokens: int, cost: float) -> None:
        """Note what a call says of itself: it may count what it has called, which is known."""
        self.add(
            max(0, input_tokens - self.input_tokens),
            max(0, output_tokens - self.output_tokens),
            max(0.0, cost - self.cost),
        )
