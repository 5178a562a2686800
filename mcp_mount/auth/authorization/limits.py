"""How often an address may register clients, or fail to get tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Literal

from mcp_mount.auth.authorization.errors import RETRY_SECONDS, OAuthError, unavailable
from mcp_mount.calls.flows import Flow, Run
from mcp_mount.wire.logs import own_logger

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import RateLimiter

logger = own_logger("mcp_mount.signin")

Counted = Literal["registrations", "failures", "guesses"]


class AddressLimits:
    """Counts what addresses do, in the server's store. Needs the extra `signin`.

    A store that is away stops registrations, which anybody can ask for. Failed token requests are
    then counted in this process, so that those who are connected stay so.

    Args:
        limiter: Returns the limiter of the store.
        name: Returns the name of the server, whose counts they are.
        registrations: How many clients an address may register. Hosted assistants register for all
            their users, twice for each connection, from a few addresses.
        failures: How many token requests of one client from one address may fail.
        guesses: How often clients at one address may fail to authenticate.
    """

    def __init__(
        self,
        limiter: Callable[[], RateLimiter],
        name: Callable[[], str],
        *,
        registrations: str = "120/minute; 5000/day",
        failures: str = "30/minute",
        guesses: str = "60/minute",
    ) -> None:
        from limits import parse_many

        self._limiter = limiter
        self._name = name
        self._away_until = float("-inf")
        self._rates: dict[str, list[RateLimitItem]] = {
            "registrations": parse_many(registrations),
            "failures": parse_many(failures),
            "guesses": parse_many(guesses),
        }

    def refuse_often(self, counted: Counted, who: str | None) -> Flow[None]:
        """Refuse who has done something too often.

        Args:
            counted: What.
            who: An address, or a client at one.

        Raises:
            OAuthError: 429, if it was too often; 503, if registrations cannot be counted.
        """
        for rate in self._rates[counted]:
            if not (yield from self._asked("test", counted, rate, who)):
                raise OAuthError(
                    "temporarily_unavailable",
                    "Too many requests from this address: try again later",
                    status=429,
                    retry_after=min(60, rate.get_expiry()),
                )

    def count(self, counted: Counted, who: str | None) -> Flow[None]:
        """Count what an address, or a client at one, has done.

        Args:
            counted: What.
            who: An address, or a client at one.

        Raises:
            OAuthError: 503, if registrations cannot be counted.
        """
        for rate in self._rates[counted]:
            yield from self._asked("hit", counted, rate, who)

    def _asked(
        self,
        operation: Literal["test", "hit"],
        counted: Counted,
        rate: RateLimitItem,
        who: str | None,
    ) -> Flow[bool]:
        """Do an operation of the store.

        Raises:
            OAuthError: 503, if registrations cannot be counted.
        """
        key = self._name(), f"signin {counted}", who or "unknown"

        def ask() -> bool:
            return bool(getattr(self._limiter(), operation)(rate, *key))

        # One that is silent takes seconds to fail, and a request counts up to four times: it is
        # left alone for a while, or anybody could have threads wait for it, and fill the log.
        if counted == "registrations" or monotonic() > self._away_until:
            try:
                return bool((yield Run(ask)))
            except Exception:
                self._away_until = monotonic() + RETRY_SECONDS
                logger.exception("The store of counts failed")
        if counted == "registrations":
            raise unavailable()
        # Who is connected goes on: each process counts by itself, until the store is back.
        return bool(getattr(self._own, operation)(rate, *key))

    @cached_property
    def _own(self) -> RateLimiter:
        """Counts in this process."""
        from limits.strategies import FixedWindowRateLimiter

        from mcp_mount.backends.memory_counts import MemoryCounts

        return FixedWindowRateLimiter(MemoryCounts())
