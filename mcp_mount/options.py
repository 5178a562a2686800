"""Every option of a server, declared once: its name, type, default, check and meaning.

`ServerOptions` is that declaration, for type checkers and for the program alike: `MCPServer(...)`,
`MCPServer.configure`, the settings of the protocol, the keys of Flask's configuration (MCP_NAME,
...) and those of Django's setting MCP_MOUNT ("NAME", ...) are all read off it. To add an option,
add a member here, and read its value where it counts.
"""

# No `from __future__ import annotations`: the program reads the metadata of `Annotated`.

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from mcp_mount.backends.stores import Store
from mcp_mount.calls.backplane import Backplane
from mcp_mount.calls.callers import CallerKey
from mcp_mount.calls.tasks import TaskLimits
from mcp_mount.observability.records import Audit
from mcp_mount.policies.options import ServerPolicies
from mcp_mount.protocol.settings import MAX_BODY_BYTES, Settings
from mcp_mount.routes.options import FastAPIOptions
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.permissions import Names, caller_key
from mcp_mount.wire.host_names import check_origins, check_patterns
from mcp_mount.wire.tokens import AccessToken

if TYPE_CHECKING:
    from mcp_mount.auth.verifiers import Verifier
    from mcp_mount.observability.telemetry import Telemetry

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes the name of an option and what a user gave; returns the value that is kept.

Raises DefinitionError or ValueError for a value that the option cannot have.
"""

Part: TypeAlias = Literal["settings", "auth", "observability", "policies", "server"]
"""The part of a server that is made anew when the option changes."""


def _as_it_is(name: str, value: Any) -> Any:
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise DefinitionError(f"{name} is a text, not {value!r}")
    return value


def _flag(name: str, value: Any) -> bool:
    """Raises for what is neither true nor false: open="no" would open the server."""
    if value not in (True, False, None):
        raise DefinitionError(f"{name} is True or False, not {value!r}")
    return bool(value)


def _flag_or_none(name: str, value: Any) -> bool | None:
    return None if value is None else _flag(name, value)


def _seconds(name: str, value: Any) -> float:
    """Raises for what is no time: with keep_alive=0 comments would be sent without a pause."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise DefinitionError(f"{name} is a number of seconds above 0, not {value!r}")
    return value


def _whole(least: int) -> Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DefinitionError(f"{name} is a number from {least} on, not {value!r}")
        return value

    return check


def _page_size(name: str, value: Any) -> int | None:
    return None if value is None else int(_whole(1)(name, value))


def _origins(name: str, value: Any) -> frozenset[str]:
    return check_origins(name, value or ())


def _hosts(name: str, value: Any) -> frozenset[str] | None:
    return None if value is None else check_patterns(name, value)


def _task_limits(name: str, value: Any) -> TaskLimits | None:
    if value is not None and not isinstance(value, TaskLimits):
        raise DefinitionError(
            f"{name} is a TaskLimits, such as TaskLimits(tasks_per_caller=50), not {value!r}"
        )
    return value


def _keys(name: str, value: Any) -> list[str | bytes]:
    """One key, or several with the newest first. No message shows a key: it is secret."""
    if value is None:
        return []
    if isinstance(value, str | bytes):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, bytearray | memoryview):
        raise DefinitionError(
            f"{name} is a key (str or bytes), or a list of keys with the newest first, not "
            f"{_kind(value)}"
        )
    for one in value:
        if not isinstance(one, str | bytes):
            raise DefinitionError(f"{name} has keys of str or bytes, not {_kind(one)}")
    # An empty one is none: what a variable of the environment is that nobody has set.
    return [one for one in value if one]


def _kind(value: Any) -> str:
    """What a value is, without showing it."""
    return f"an object of {type(value).__name__}"


def _find_user(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise DefinitionError(f"{name} is a function of the access token, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Option:
    """What an option of a server is, besides its name and type.

    Args:
        part: The part of a server that reads it.
        default: Its value where nobody gives one, as `check` returns it.
        check: Checks a value, and returns the form in which it is kept.
        is_object: Whether its value is a function or another object, which configuration that
            imports nothing names by a dotted path.
    """

    part: Part
    default: Any = None
    check: Check = _as_it_is
    is_object: bool = False


class ServerOptions(ServerPolicies, total=False):
    """The options of a server, besides its name and path."""

    version: Annotated[str, Option("settings", "0.1.0", _text)]
    """The version of the server, for clients."""
    display_name: Annotated[str | None, Option("settings")]
    """The name of the server that people see."""
    description: Annotated[str | None, Option("settings")]
    """What the server is for, for clients."""
    website_url: Annotated[str | None, Option("settings")]
    """The URL of its website."""
    icons: Annotated[Sequence[Mapping[str, Any]], Option("settings", ())]
    """Its icons, as the specification has them: {"src": …, "mimeType": …}."""
    instructions: Annotated[str | None, Option("settings")]
    """How a model should use the server."""
    max_body_bytes: Annotated[int, Option("settings", MAX_BODY_BYTES, _whole(1))]
    """The largest request body that is read, in bytes; 4 MiB by default."""
    allowed_origins: Annotated[Iterable[str], Option("settings", frozenset(), _origins)]
    """Browser origins that may call, besides loopback, such as "https://app.example"."""
    allowed_hosts: Annotated[Iterable[str] | None, Option("settings", None, _hosts)]
    """Host names to serve (".example.com" for a whole domain), where the host framework does not
    check them; None leaves the check to it."""
    session_ttl: Annotated[float, Option("settings", 7 * 24 * 3600.0, _seconds)]
    """How long a session lives, in seconds; a week by default."""
    keep_alive: Annotated[float, Option("settings", 15.0, _seconds)]
    """After how many seconds of silence a comment is sent on an event stream. A client that accepts
    a stream gets a response that begins after a third of it, if the handler has not ended."""
    poll_seconds: Annotated[float, Option("settings", 3.0, _seconds)]
    """Under WSGI, how often clients of 2025-11-25 ask for changes, in seconds."""
    max_poll_seconds: Annotated[float, Option("settings", 30.0, _seconds)]
    """Under WSGI, how seldom they ask when nothing has changed for long, in seconds."""
    waiting_threads: Annotated[int, Option("settings", 4, _whole(1))]
    """Under WSGI, how many subscriptions and questions, together, may hold a thread of the web
    server; it must have more. Of greenlets a hundred may, or more if this is more."""
    list_ttl_ms: Annotated[int, Option("settings", 60_000, _whole(0))]
    """For how many milliseconds clients may keep lists (2026-07-28)."""
    page_size: Annotated[int | None, Option("settings", None, _page_size)]
    """The most entries in one answer to a list request; by default all of them."""
    list_step_up: Annotated[bool, Option("settings", False, _flag)]
    """Whether lists show entries that the caller lacks only scopes for. A client that calls one is
    told to get them."""
    auth: Annotated["Verifier | Sequence[Verifier] | None", Option("auth", is_object=True)]
    """Verifies access tokens or API keys, see `mcp_mount.auth`."""
    auth_required: Annotated[bool, Option("auth", True, _flag)]
    """Whether `auth` refuses requests without a token; otherwise the host knows their user, or they
    are anonymous."""
    resource: Annotated[str | None, Option("auth")]
    """The URL of the MCP endpoint, as clients write it, which tokens must be for. By default that
    of the request, where `allowed_hosts` or the host framework vouches for its host name."""
    scope_hierarchy: Annotated[Mapping[str, Names] | None, Option("auth")]
    """Scopes that imply others, such as {"orders:write": "orders:read"}."""
    find_user: Annotated[
        Callable[[AccessToken], Any] | None, Option("auth", None, _find_user, is_object=True)
    ]
    """Finds the user of a verified token, plain or coroutine function; the user is `request.user`
    then. A token for which it returns None, or a user who is not active, is refused."""
    telemetry: Annotated["bool | Telemetry", Option("observability", False, is_object=True)]
    """Spans and metrics of OpenTelemetry: True, or a `Telemetry`."""
    log_calls: Annotated[bool, Option("observability", False, _flag)]
    """Whether each call is logged, by the logger `mcp_mount.calls`."""
    audit: Annotated[Audit | None, Option("observability", is_object=True)]
    """An `Audit`, which is told before and after each call."""
    secret_key: Annotated[str | bytes | Sequence[str | bytes] | None, Option("server", (), _keys)]
    """Seals session ids and cursors: one key, or several with the newest first. By default the
    variable MCP_MOUNT_SECRET_KEY of the environment, or the host's own key."""
    docs: Annotated[bool | None, Option("server", None, _flag_or_none)]
    """Whether /docs and /openapi.json are shown. By default they are where the server runs alone,
    and in a host in debug mode."""
    store: Annotated[str | Store | None, Option("server")]
    """Where throttles and caches keep counts and results: by default in this process, or
    "redis://…" for all processes."""
    backplane: Annotated[Backplane | None, Option("server", is_object=True)]
    """What carries the state of sessions, change notifications, answers and cancellations between
    the processes of the server; by default they stay in this process."""
    open: Annotated[bool, Option("server", False, _flag)]
    """Whether it is meant that everybody may call tools that may write: a server where this is so
    warns of it otherwise."""
    caller: Annotated[
        CallerKey | None,
        Option("server", None, lambda name, value: caller_key(value), is_object=True),
    ]
    """Returns the key of the caller, from the host's request: results are cached, calls counted,
    and tasks, states and sessions bound by it. By default the id of the user; give one where that
    says too little: `lambda request: f"{tenant}:{request.user.pk}"`. For None nothing is cached,
    and the rest is as for an anonymous caller."""
    task_limits: Annotated[TaskLimits | None, Option("server", None, _task_limits, is_object=True)]
    """How much is kept for tasks."""


class NamedServerOptions(ServerOptions, total=False):
    """The options of a server that configuration may set: with its name."""

    name: Annotated[str, Option("settings", "mcp-mount", _text)]
    """The name of the server, for clients."""


class MCPServerOptions(ServerOptions, FastAPIOptions, total=False):
    """The keyword arguments of `MCPServer`: the options of a server, and FastAPI's arguments."""


class NamedMCPServerOptions(NamedServerOptions, FastAPIOptions, total=False):
    """Those with the name, for integrations that make a server."""


_OBJECTS: Final = frozenset({"when", "call_middleware"})
"""The policies whose values are functions only."""

OPTIONS: Final[Mapping[str, Option]] = {
    name: annotation.__metadata__[0]
    if hasattr(annotation, "__metadata__")
    else Option("policies", is_object=name in _OBJECTS)
    for name, annotation in NamedServerOptions.__annotations__.items()
}
"""The options by their names."""

DEFAULTS: Final = {
    name: option.default for name, option in OPTIONS.items() if option.part != "policies"
}
"""The values of those that keep one."""


def value_of(name: str, given: Any) -> Any:
    """The value of an option as a server keeps it.

    Args:
        name: The name of the option, one of `OPTIONS`.
        given: What the user gave.

    Raises:
        DefinitionError: For a value that the option cannot have.
        ValueError: For a host name or an origin that can match nothing.
    """
    return OPTIONS[name].check(name, given)


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a server, each in the form in which a server keeps it.

    Args:
        options: By their names, all of them in `OPTIONS`.

    Raises:
        DefinitionError: As `value_of`.
        ValueError: As `value_of`.
    """
    return {name: value_of(name, given) for name, given in options.items()}


def protocol_settings(values: Mapping[str, Any] = DEFAULTS, **others: Any) -> Settings:
    """The settings of the protocol.

    Args:
        values: The options of a server, by their names; what is none of the protocol's is left.
        others: Further settings, which no option gives.
    """
    own = {name: values[name] for name in values if OPTIONS[name].part == "settings"}
    return Settings(**{**own, **others})
