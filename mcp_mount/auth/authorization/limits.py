"""How often an address may register clients, or fail to get tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from mcp_mount.auth.authorization.errors import OAuthError
from mcp_mount.calls.flows import Flow, Run

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import RateLimiter

Counted = Literal["registrations", "failures"]


class AddressLimits:
    """Counts what addresses do, in the server's store. Needs the extra `signin`.

    Args:
        limiter: Returns the limiter of the store.
        name: Returns the name of the server, whose counts they are.
        registrations: How many clients an address may register. Hosted assistants register for all
            their users, twice for each connection, from a few addresses.
        failures: How many token requests of one client from one address may fail.
    """

    def __init__(
        self,
        limiter: Callable[[], RateLimiter],
        name: Callable[[], str],
        *,
        registrations: str = "120/minute; 5000/day",
        failures: str = "30/minute",
    ) -> None:
        from limits import parse_many

        self._limiter = limiter
        self._name = name
        self._rates: dict[str, list[RateLimitItem]] = {
            "registrations": parse_many(registrations),
            "failures": parse_many(failures),
        }

    def refuse_often(self, counted: Counted, who: str | None) -> Flow[None]:
        """Refuse who has done something too often.

        Args:
            counted: What.
            who: An address, or a client at one.

        Raises:
            OAuthError: 429, if it was too often.
        """
        for rate in self._rates[counted]:
            may = partial(self._limiter().test, rate, *self._key(counted, who))
            if not (yield from _counted(may)):
                raise OAuthError(
                    "temporarily_unavailable",
                    "Too many requests from this address: try again later",
                    status=429,
                    retry_after=min(60, rate.get_expiry()),
                )

    def count(self, counted: Counted, who: str | None) -> Flow[None]:
        """Count what an address, or a client at one, has done."""
        for rate in self._rates[counted]:
            yield from _counted(partial(self._limiter().hit, rate, *self._key(counted, who)))

    def _key(self, counted: Counted, who: str | None) -> tuple[str, str, str]:
        return self._name(), f"signin {counted}", who or "unknown"


def _counted(function: Callable[[], Any]) -> Flow[bool]:
    try:
        return bool((yield Run(function)))
    except Exception:
        # A store of counts that is away stops nobody from signing in.
        return True
