"""Results that are kept for a while."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from string import Formatter
from typing import Any, Final, Literal, TypeVar

from pydantic_core import from_json, to_json

from mcp_mount.backends.stores import Store, StoreUnavailable
from mcp_mount.calls.call import Call
from mcp_mount.calls.callers import Callers, place_of
from mcp_mount.calls.flows import Do, Flow, Pause, Wait, proceed
from mcp_mount.calls.questions import MultiRoundTripDialogue
from mcp_mount.calls.results import Result
from mcp_mount.policies.kinds import Levels, PolicyKind
from mcp_mount.policies.values import instance_of
from mcp_mount.schemas.functions import DefinitionError, refuse_what_answers_later
from mcp_mount.schemas.names import naming_options, several_names
from mcp_mount.wire.answers import answer_of
from mcp_mount.wire.credentials import credential_headers, forwarded_headers
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.messages import Request

logger = own_logger("mcp_mount")

T = TypeVar("T")

_LONGEST: Final = 7 * 24 * 3600.0
"""The longest that a result is kept, in seconds; so long it is known that a tag was invalidated."""

_LEASE_SECONDS: Final = 60.0
"""How long other processes wait for a call that says nothing of its time."""

_POLL_SECONDS: Final = 0.05

_OF_ONE_REQUEST: Final = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-length", "content-type"),
        *("last-event-id", "traceparent", "tracestate", "baggage", "x-request-id"),
        *("x-correlation-id", "x-amzn-trace-id", "x-cloud-trace-context", "cf-ray"),
    }
)
"""Headers that tell nothing of a client."""

_OF_ONE_TOKEN: Final = frozenset({"exp", "iat", "nbf", "jti"})
"""Claims that tell tokens apart, and not what they are good for."""

Per = Literal["caller", "everyone"] | Callable[[Call], str | None]


class Cache:
    """Keeps the result of a tool, or of reading a resource.

    Results are kept by the arguments and, by default, by the caller. Of equal calls at the same
    time one runs, and the others wait for its result. The result is not kept if the tool failed, if
    it asked the client something, or if the client repeats a call with its answers.

    Callers are told apart by the server's `caller=`, or by their ids, and by what their access
    tokens allow; callers whom the host does not know, by their credentials (Authorization, Cookie,
    the headers of API keys). Results are always kept apart by host name, mount point and language.

    Args:
        ttl: How long a result is kept, in seconds; at most seven days.
        per: For whom a result is good: the "caller", "everyone", or those for whom a function of
            the call returns the same text. If the function returns None, nothing is kept.
        tags: Names by which `server.invalidate` drops results; "order:{order_id}" includes an
            argument.

    Raises:
        DefinitionError: If an argument is not one of these.
    """

    @naming_options
    def __init__(self, ttl: float, *, per: Per = "caller", tags: Sequence[str] = ()) -> None:
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= _LONGEST:
            raise DefinitionError(f"cache is a number of seconds, at most seven days, not {ttl!r}")
        if per not in ("caller", "everyone") and not callable(per):
            raise DefinitionError(f"per is 'caller', 'everyone' or a function, not {per!r}")
        if callable(per):
            refuse_what_answers_later("per=", per)
        self.ttl = float(ttl)
        self.per = per
        self.tags = tuple(several_names("tags", tags))

    @property
    def arguments(self) -> list[str]:
        """The arguments that its tags take in."""
        fields = [field for tag in self.tags for _, field, _, _ in Formatter().parse(tag)]
        return [re.split(r"[.\[]", field)[0] for field in fields if field]


def invalidate(store: Store, tags: Sequence[str]) -> Flow[None]:
    """Drop all results with one of these tags, also those that are being made."""
    for tag in tags:
        version = secrets.token_urlsafe(9).encode()
        yield store.set(_version_key(tag), version, _LONGEST + _LEASE_SECONDS)


@dataclass(frozen=True, slots=True)
class Kept:
    """What tells kept results apart, besides the call itself.

    Attributes:
        server: Returns the name of the server, since a store may be shared.
        callers: Tells callers apart.
        varies: Returns what of its host a result depends on.
    """

    server: Callable[[], str]
    callers: Callers
    varies: Callable[[Request], str]

    def place(self, request: Request) -> list[str]:
        """Where, and in what language, a result is the same. The host is part of it, since tenants
        are often told apart by it."""
        passed_on = [request.headers.get(name, "") for name in sorted(forwarded_headers)]
        return [
            *(self.server(), place_of(request), self.varies(request), request.variant),
            *passed_on,
        ]

    def caller(self, request: Request) -> str | None:
        """For whom alone a result is good; None if it must not be kept at all."""
        key = self.callers.key_of(request)
        if key is not None:
            return f"{key} {_rights(request)}"
        if self.callers.function is not None:
            return None
        shown = [request.headers.get(name, "") for name in sorted(credential_headers)]
        return f"credentials:{sha256(json.dumps(shown).encode()).hexdigest()}"


def _rights(request: Request) -> str:
    """What a caller may by these credentials: another token of theirs may allow less, and what a
    result was made of by nested calls is not asked for again."""
    token = request.token
    if token is None:
        # The host's own tokens may have scopes, too.
        said: Any = request.headers.get("authorization", "")
    else:
        claims = {name: one for name, one in token.claims.items() if name not in _OF_ONE_TOKEN}
        said = [sorted(token.scopes), sorted(token.roles), token.client_id, claims]
    text = json.dumps(said, sort_keys=True, default=repr)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _LeaderGone(Exception):
    """The call that others wait for has ended without an outcome."""


class _NoStore(Exception):
    """The store cannot be reached: calls run without being cached."""


def _asked(step: Do[T]) -> Flow[T]:
    """The outcome of a step of the store.

    Raises:
        _NoStore: If there is none.
    """
    try:
        outcome: T = yield step
    except StoreUnavailable as error:
        raise _NoStore from error
    except Exception as error:
        logger.exception("A cache could not ask its store: the call runs without it")
        raise _NoStore from error
    return outcome


class Cached:
    """A cache around the calls of one entry. A store that cannot be reached fails no call.

    Args:
        cache: The user's declaration.
        kept: Tells results apart.
        store: Keeps the results.
        timeout: How long a call may take, in seconds, if that is known: after that another process
            does not wait for its result.
        has_dependencies: Whether the entry has dependencies of FastAPI. They may read anything of a
            request, so that the caller includes everything that the client sends.
    """

    def __init__(
        self,
        cache: Cache,
        kept: Kept,
        store: Store,
        timeout: float | None = None,
        *,
        has_dependencies: bool = False,
    ) -> None:
        self._has_dependencies = has_dependencies
        self._lease = _LEASE_SECONDS if timeout is None else timeout + _POLL_SECONDS
        self._cache = cache
        self._kept = kept
        self._store = store
        store.keeps_for(cache.ttl)
        self._flights: dict[str, Future[Result]] = {}
        self._lock = threading.Lock()

    def flow(self, call: Call) -> Flow[Result]:
        whose = None if _is_repeated(call) else self._whose(call)
        if whose is None:
            return (yield from proceed())
        try:
            tags = [_filled(tag, call.arguments) for tag in self._cache.tags]
        except (ValueError, TypeError, LookupError, AttributeError):
            # The arguments are not validated yet: they do not fit, which is not for here to say.
            return (yield from proceed())
        try:
            versions = yield from self._versions(tags)
        except _NoStore:
            return (yield from proceed())
        key = self._key(call, whose, versions)
        while True:
            try:
                known = yield from self._known(key)
            except _NoStore:
                return (yield from proceed())
            if known is not None:
                call.state["cache"] = "hit"
                return known
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    own: Future[Result] = Future()
                    self._flights[key] = own
            if flight is None:
                return (yield from self._lead(call, key, own))
            with suppress(_LeaderGone):
                result: Result = yield Wait(flight)
                if result.suspended is not None:
                    # Each client is asked for itself.
                    return (yield from proceed())
                call.state["cache"] = "shared"
                return result

    def _lead(self, call: Call, key: str, flight: Future[Result]) -> Flow[Result]:
        """Run the call, for all others that wait for the same."""
        try:
            result = yield from self._run(call, key)
        except BaseException as error:
            shared = isinstance(error, Exception)
            flight.set_exception(error if shared else _LeaderGone())
            # Perhaps nobody waits for it.
            flight.exception()
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            with self._lock:
                self._flights.pop(key, None)

    def _run(self, call: Call, key: str) -> Flow[Result]:
        token, lock = secrets.token_urlsafe(9), f"lock:{key}"
        try:
            while not (yield from _asked(self._store.claim(lock, token, self._lease))):
                # Another process has begun.
                yield Pause(_POLL_SECONDS)
                known = yield from self._known(key)
                if known is not None:
                    return known
        except _NoStore:
            return (yield from proceed())
        try:
            if self._store.shared:
                with suppress(_NoStore):
                    known = yield from self._known(key)
                    if known is not None:
                        return known
            result = yield from proceed()
            if not result.failed and not call.incoming.asked and result.type == "complete":
                value = _packed(result) if self._store.shared else result
                # The handler has run: what it did must not be done again because of the store.
                with suppress(_NoStore):
                    yield from _asked(self._store.set(key, value, self._cache.ttl))
            return result
        finally:
            with suppress(_NoStore):
                yield from _asked(self._store.release(lock, token))

    def _known(self, key: str) -> Flow[Result | None]:
        """The result that is kept, or None."""
        (known,) = yield from _asked(self._store.get([key]))
        return known if isinstance(known, Result | None) else _unpacked(known)

    def _versions(self, tags: Sequence[str]) -> Flow[Sequence[bytes | None]]:
        if not tags:
            return ()
        found: Sequence[bytes | None] = yield from _asked(
            self._store.get([_version_key(tag) for tag in tags])
        )
        return found

    def _key(self, call: Call, whose: str, versions: Sequence[bytes | None]) -> str:
        incoming = call.incoming
        salient = [
            self._kept.place(incoming.request),
            incoming.method,
            call.name,
            call.arguments,
            whose,
            incoming.revision.name,
            incoming.is_plain,
            [version and version.decode("latin-1") for version in versions],
        ]
        text = json.dumps(salient, sort_keys=True, ensure_ascii=False)
        return f"result:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"

    def _whose(self, call: Call) -> str | None:
        per = self._cache.per
        if per == "everyone":
            return "everyone"
        if per != "caller":
            assert callable(per)
            name = answer_of(per, per(call))
            return None if name is None else f"own:{name}"
        caller = self._kept.caller(call.incoming.request)
        if caller is None or not self._has_dependencies:
            return caller
        return f"{caller} {_shown(call)}"


def _shown(call: Call) -> str:
    """What a client says of itself in a request, and not of this one request alone."""
    shown = {
        name: value
        for name, value in call.incoming.request.headers.items()
        if name not in _OF_ONE_REQUEST and not name.startswith("mcp-")
    }
    query = getattr(call.request, "scope", {}).get("query_string", b"")
    said = json.dumps([shown, query.decode("latin-1")], sort_keys=True)
    return sha256(said.encode()).hexdigest()


def _is_repeated(call: Call) -> bool:
    """Whether the client repeats a call with its answers, or the call asks for them in a task."""
    incoming = call.incoming
    if incoming.task is not None or call.task is not None:
        return True
    dialogue = incoming.dialogue
    return (
        "requestState" in incoming.params
        or "inputResponses" in incoming.params
        or (isinstance(dialogue, MultiRoundTripDialogue) and bool(dialogue.answers))
    )


def _version_key(tag: str) -> str:
    return f"version:{tag}"


class _Filler(Formatter):
    """Fills in arguments; one that is not there is empty."""

    def get_value(self, key: int | str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(str(key), "")


def _filled(tag: str, arguments: Mapping[str, Any]) -> str:
    return _Filler().vformat(tag, (), arguments) if "{" in tag else tag


def _packed(result: Result) -> bytes:
    return to_json([result.members.decode(), result.meta])


def _unpacked(value: bytes) -> Result | None:
    """The result that `_packed` has written; None for anything else, which is written anew then."""
    try:
        members, meta = from_json(value)
    except (TypeError, ValueError):
        return None
    is_ours = isinstance(members, str) and isinstance(meta, dict | None)
    return Result(members.encode(), meta) if is_ours else None


def _cached(levels: Levels) -> Sequence[Cached]:
    cache, timeout = levels.nearest("cache"), levels.nearest("timeout")
    if cache is None:
        return ()
    around = levels.environment
    kept = Kept(around.name, around.callers, around.varies)
    seconds = None if timeout is None else timeout.seconds
    has_dependencies = bool(levels.dependencies)
    return [Cached(cache, kept, around.store, seconds, has_dependencies=has_dependencies)]


KIND: Final = PolicyKind(_cached, {"cache": instance_of(Cache)})
