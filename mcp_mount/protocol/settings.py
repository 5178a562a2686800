"""What a server says about itself and what it allows, apart from its features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from mcp_mount.calls.callers import Callers
from mcp_mount.calls.exception_hooks import NO_HOOKS, ExceptionHooks
from mcp_mount.calls.flows import Flow
from mcp_mount.wire.errors import Challenge, ProtocolError
from mcp_mount.wire.host_names import (
    DEFAULT_PORTS,
    Authority,
    is_loopback,
    matches,
    parse_authority,
    vouches,
)
from mcp_mount.wire.messages import Request, Rule

if TYPE_CHECKING:
    from mcp_mount.calls.incoming import IncomingRequest
    from mcp_mount.calls.results import Result

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""The largest request body that is read, unless a server says otherwise."""


def _nothing() -> Sequence[str]:
    return ()


class Observer(Protocol):
    """Somebody who is told of requests."""

    def on_request(
        self,
        incoming: IncomingRequest,
        started: float,
        result: Result | None,
        error: ProtocolError | None,
    ) -> None:
        """A request was answered without a handler.

        Args:
            incoming: The request.
            started: When it came, by `time.perf_counter`.
            result: Its result, if it has one.
            error: The error it was answered with, if it was.
        """


class Authenticator(Protocol):
    """Lets requests in by their credentials."""

    def admit(self, request: Request) -> Flow[None]:
        """Find out who sends a request.

        Args:
            request: The request.

        Raises:
            ProtocolError: 401 if the credentials are missing or wrong, 503 if they cannot be
                verified now.
        """

    def decides(self, request: Request) -> bool:
        """Whether it is not for the host to know who sends a request."""


def bearer(request: Request, challenge: Challenge) -> str:
    """A WWW-Authenticate header of the scheme Bearer (RFC 6750, section 3)."""
    return challenge_header(challenge, {})


def challenge_header(challenge: Challenge, further: Mapping[str, str]) -> str:
    """The header of the scheme Bearer with further parameters."""
    # The description comes last: official clients look for "scope=" and "resource_metadata=" from
    # the left, also within another parameter.
    given = {
        "error": challenge.error,
        **further,
        "scope": " ".join(challenge.scopes) or None,
        "error_description": challenge.description,
    }
    shown = [f'{name}="{_quoted(value)}"' for name, value in given.items() if value is not None]
    return " ".join(["Bearer", ", ".join(shown)]).strip()


def _quoted(value: str) -> str:
    """What may stand in a quoted-string of a header (RFC 6750, section 3: no quotes within)."""
    return "".join(" " if not 0x20 <= ord(one) < 0x7F or one in '"\\' else one for one in value)


class Startup(Protocol):
    """What must have begun before a server answers: its lifespan."""

    def check(self) -> None:
        """Check what has been declared.

        Raises:
            ProtocolError: 503, if it does not fit together.
        """

    def is_needed(self) -> bool:
        """Whether it has not begun, and there is something to begin."""

    async def start(self) -> None:
        """Start it.

        Raises:
            ProtocolError: 503, if that fails.
        """


@dataclass(slots=True, kw_only=True)
class Settings:
    """The constants of one server.

    Those without a default here are options of a server: `mcp_mount.options` declares them.

    Attributes:
        display_name: The name that people see.
        max_body_bytes: The largest request body that is read.
        allowed_origins: Origins that browsers may call from, besides loopback.
        allowed_hosts: The Host names served, with a port or for all ports; None leaves that check
            to the host framework.
        session_ttl: The life of a session, in seconds.
        keep_alive: After how many seconds of silence a comment is sent on an event stream.
        poll_seconds: How often clients ask for what a session's stream says, where it is polled.
        max_poll_seconds: How seldom, when nothing has happened for long.
        list_ttl_ms: For how many milliseconds a client may keep lists and discovery.
        page_size: The most entries in a page of a list; None for all.
        list_step_up: Whether lists show what the caller lacks only scopes for.
        host_names: The names that the host framework checks itself (Django's ALLOWED_HOSTS).
        rules: Who may send requests at all.
        challenge: Returns the WWW-Authenticate header for callers who need other credentials.
        observers: Are told of requests that no handler answers.
        auth: Finds out who sends a request, where the host does not.
        callers: Tells callers apart.
        on_first_request: Called once, when somebody has sent a request.
        startup: What must have started before a request is answered; None when it has.
        may_block: Whether the observers may take time.
        hooks: What the host does with exceptions.
        question_timeout: How many seconds a handler waits for a live answer of its client.
        state_ttl: How many seconds a client may take to repeat a request with its answers.
        waiting_threads: How many subscriptions and questions, together, may hold a thread of a
            WSGI server: fewer than it has. Of greenlets a hundred may, or more if this is more.
        resume_ttl: How many seconds a stream is kept for a client that was cut off.
    """

    name: str
    version: str
    display_name: str | None
    description: str | None
    website_url: str | None
    icons: Sequence[Mapping[str, Any]]
    instructions: str | None
    max_body_bytes: int
    allowed_origins: frozenset[str]
    allowed_hosts: frozenset[str] | None
    session_ttl: float
    keep_alive: float
    poll_seconds: float
    max_poll_seconds: float
    waiting_threads: int
    list_ttl_ms: int
    page_size: int | None
    list_step_up: bool
    host_names: Callable[[], Sequence[str]] = field(default=_nothing)
    rules: Sequence[Rule] = ()
    challenge: Callable[[Request, Challenge], str] = field(default=bearer)
    observers: Sequence[Observer] = ()
    auth: Authenticator | None = None
    callers: Callers = field(default_factory=Callers)
    on_first_request: Callable[[], None] | None = None
    startup: Startup | None = None
    may_block: bool = False
    hooks: ExceptionHooks = NO_HOOKS
    question_timeout: float = 300.0
    state_ttl: float = 3600.0
    resume_ttl: float = 60.0

    @property
    def begin_after(self) -> float:
        """After how many seconds the response begins to a client that accepts an event stream,
        though the handler has said nothing yet."""
        return self.keep_alive / 3

    @property
    def asks_nobody(self) -> bool:
        """Whether a request can be admitted without waiting for anything. Opening it may take a
        step all the same, with a backplane or tasks in another process."""
        return self.auth is None and not self.may_block and self.startup is None

    def server_info(self, fields: frozenset[str]) -> dict[str, Any]:
        """The `Implementation` object, with those fields that a revision has."""
        info = {
            "name": self.name,
            "title": self.display_name,
            "version": self.version,
            "description": self.description,
            "websiteUrl": self.website_url,
            "icons": list(self.icons) or None,
        }
        return {key: value for key, value in info.items() if value is not None and key in fields}

    def allows_host(self, authority: Authority | None, request: Request) -> bool:
        """Whether requests to a host are served.

        Without `allowed_hosts` the host framework checks that. A server that stands alone and is
        reached by a loopback address serves loopback names only: another name for this machine is
        what an attacker's page has it called by (DNS rebinding).
        """
        if self.allowed_hosts is not None:
            if "*" in self.allowed_hosts:
                return True
            return authority is not None and matches(authority, self.allowed_hosts)
        if not request.stands_alone or authority is None or request.server is None:
            return True
        return authority.is_loopback or not is_loopback(request.server[0] or "")

    def vouches_for(self, url: str, request: Request) -> bool:
        """Whether somebody says that a URL is this server's own, with its host and port: the
        configuration, or the host framework. In development, where neither says anything, a
        loopback name with the very port of the server is."""
        scheme, _, rest = url.partition("://")
        authority = parse_authority(rest.partition("/")[0])
        if authority is None:
            return False
        known = [*(self.allowed_hosts or ()), *self.host_names()]
        if vouches(authority, known, scheme):
            return True
        if not authority.is_loopback or (known and not matches(authority, known)):
            return False
        usual = DEFAULT_PORTS.get(scheme)
        own = None if request.server is None else request.server[1]
        return (authority.port or usual) in (usual, own)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a browser at `origin` may call the server that it addressed as `host`.

        Loopback origins and the configured ones may. A page of the very host may only where
        somebody vouches for that host name: under DNS rebinding, Origin and Host agree.
        """
        if origin in self.allowed_origins:
            return True
        scheme, separator, rest = origin.partition("://")
        authority = parse_authority(rest)
        if not separator or scheme.lower() not in DEFAULT_PORTS or authority is None:
            return False
        if authority.is_loopback:
            return True
        if authority != parse_authority(host):
            return False
        return matches(authority, self.allowed_hosts or ()) or matches(authority, self.host_names())
