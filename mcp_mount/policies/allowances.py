"""Limits such as "5 USD/day": how much of what, and the windows of time in which it is counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from mcp_mount.calls.spending import NANO
from mcp_mount.schemas.functions import DefinitionError

_LIMIT: Final = re.compile(
    r"([\d_]+(?:\.\d+)?)\s*(usd|tokens?|requests?)\s*(?:/|\bper\b)\s*(minute|hour|day|week|month)",
    re.IGNORECASE,
)
_LARGEST: Final = 2**53


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much of something callers have for a while.

    Attributes:
        amount: How much; of money in billionths.
        unit: "USD", "tokens" or "requests".
        period: "minute", "hour", "day", "week" or "month", by UTC. Weeks begin on Monday.
        words: As the user has it.
    """

    amount: int
    unit: str
    period: str
    words: str

    def window(self, now: datetime) -> tuple[str, float]:
        """The window that a moment is in: its name, and in how many seconds it ends.

        Args:
            now: The moment, in UTC.
        """
        begin = now.replace(second=0, microsecond=0)
        if self.period != "minute":
            begin = begin.replace(minute=0)
        if self.period not in ("minute", "hour"):
            begin = begin.replace(hour=0)
        if self.period == "week":
            begin -= timedelta(days=begin.weekday())
        if self.period == "month":
            begin = begin.replace(day=1)
            end = (begin + timedelta(days=32)).replace(day=1)
        else:
            end = begin + timedelta(**{f"{self.period}s": 1})
        return f"{begin:%Y%m%dT%H%M}", (end - now).total_seconds()


def allowances(limit: Any) -> list[Allowance]:
    """The limits that a user has written.

    Args:
        limit: Such as "5 USD/day; 1000 requests per hour".

    Raises:
        DefinitionError: If it is none.
    """
    found = []
    for one in limit.split(";") if isinstance(limit, str) else ():
        match = _LIMIT.fullmatch(one.strip())
        if match is None:
            break
        number, unit, period = match[1].replace("_", ""), match[2].lower(), match[3].lower()
        unit = "USD" if unit == "usd" else f"{unit.rstrip('s')}s"
        amount = round(float(number or 0) * NANO) if unit == "USD" else float(number or 0)
        if amount != int(amount) or not 0 < amount < _LARGEST:
            break
        found.append(Allowance(int(amount), unit, period, f"{match[1]} {unit} per {period}"))
    else:
        if found:
            return found
    raise DefinitionError(
        "a budget is an amount of USD, tokens or requests per minute, hour, day, week or month, "
        f"such as '5 USD/day' or '100000 tokens/day; 50 requests/hour', not {limit!r}"
    )


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(timezone.utc)
