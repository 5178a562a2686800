"""The health of the members of routes: failures, requests under way, cooldowns.

What is known of a member is shared by all routes of its server in this process. Who tries one that
has rested is shared by all processes: see `trials`.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

from mcp_mount.schemas.values import seconds, whole

_LONGEST_REST: Final = 3600.0
"""An upstream may ask for any time: after this one it is tried again."""

TRIAL_SECONDS: Final = 1.0
"""When to come again while another request tries a member that has rested."""


class Breaker:
    """When a member of a route is left alone for a while, since it does not answer.

    After its cooldown one request tries it, and the others wait for what comes of that. A member
    that says when to come again (Retry-After) is left alone until then, after one failure already.

    Args:
        failures: After how many failures in a row.
        cooldown: For how many seconds.

    Raises:
        DefinitionError: If one is no such number.
    """

    def __init__(self, failures: int = 3, cooldown: float = 30.0) -> None:
        self.failures: int = whole(1)("failures", failures)
        self.cooldown = seconds("cooldown", cooldown)

    def __repr__(self) -> str:
        return f"Breaker(failures={self.failures}, cooldown={self.cooldown:g})"


class Permit:
    """Lets one request ask a member. One that is forgotten counts no more.

    Attributes:
        is_trial: Whether the member has rested, so that no other request may ask it meanwhile.
    """

    def __init__(self, *, is_trial: bool) -> None:
        self.is_trial = is_trial


class Health:
    """How one member does."""

    def __init__(self) -> None:
        self._failures = 0
        self._rests_until = 0.0
        # Whoever asks may end without a word, such as with its event loop.
        self._permits: WeakSet[Permit] = WeakSet()
        self._trial: ref[Permit] | None = None
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """How many requests it is answering."""
        return len(self._permits)

    @property
    def rest(self) -> float:
        """In how many seconds it may be asked again; 0 if it may be asked now."""
        return max(0.0, self._rests_until - time.monotonic())

    def begin(self, breaker: Breaker | None) -> Permit | float:
        """Begin to ask the member.

        Args:
            breaker: That of the route; without one, members are asked however they do.

        Returns:
            What lets it be asked, for `end`; in how many seconds to come again, if it must not be
            asked now.
        """
        is_trial = False
        with self._lock:
            if breaker is not None:
                if (rest := self.rest) > 0:
                    return rest
                is_trial = self._failures >= breaker.failures
                if is_trial and self._trial is not None and self._trial() is not None:
                    return TRIAL_SECONDS
            permit = Permit(is_trial=is_trial)
            if is_trial:
                self._trial = ref(permit)
            self._permits.add(permit)
            return permit

    def end(
        self,
        permit: Permit,
        breaker: Breaker | None,
        *,
        answered: bool | None,
        retry_after: float | None = None,
    ) -> None:
        """Note how it went.

        Args:
            permit: What `begin` has returned.
            breaker: That of the route.
            answered: Whether the member has answered; None if it was not asked, or not to its end.
            retry_after: When it says to come again, in seconds, if it does.
        """
        with self._lock:
            self._permits.discard(permit)
            if self._trial is not None and self._trial() is permit:
                # Others that began before do not end it.
                self._trial = None
            if answered is None or breaker is None:
                return
            if answered:
                self._failures = 0
                return
            self._failures += 1
            rest = min(retry_after or 0.0, _LONGEST_REST)
            if self._failures >= breaker.failures:
                rest = max(rest, breaker.cooldown)
            if rest > 0:
                self._rests_until = max(self._rests_until, time.monotonic() + rest)


_known: Final[WeakKeyDictionary[Any, dict[str, Health]]] = WeakKeyDictionary()
_lock: Final = threading.Lock()


def health_of(server: Any, name: str) -> Health:
    """How a model of a server does.

    Args:
        server: The handlers of the server.
        name: The name under which the model is registered.
    """
    with _lock:
        members = _known.setdefault(server, {})
        if name not in members:
            members[name] = Health()
        return members[name]
