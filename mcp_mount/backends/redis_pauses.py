"""The pauses between tries to reach a Redis.

Imported when the first client is made: redis-py belongs to an extra.
"""

from __future__ import annotations

import random

from redis.backoff import AbstractBackoff

_random = random.SystemRandom()


class RetryPauses(AbstractBackoff):
    """Pauses that become twice as long each time, by chance up to half as long as that.

    Those of redis-py take their chance from the `random` module. Threads in the background would
    change its state, and an application that has seeded it would not get the numbers it expects.

    Args:
        first: Seconds before the second try, at most.
        longest: Seconds of the longest pause.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest

    def compute(self, failures: int) -> float:
        longest = min(self._longest, self._first * 2.0**failures)
        return longest * _random.uniform(0.5, 1.0)
