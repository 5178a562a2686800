"""Every option of a server, declared once: its name, type, default, check and meaning.

`ServerOptions` is that declaration, for type checkers and for the program alike: `MCPServer(...)`,
`MCPServer.configure`, the settings of the protocol, the keys of Flask's configuration (MCP_NAME,
...) and those of Django's setting MCP_MOUNT ("NAME", ...) are all read off it. To add an option,
add a member here, and read its value where it counts; one of the part "settings" needs a field of
the same name in `protocol.settings.Settings`. CONTRIBUTING.md has the steps.
"""

# No `from __future__ import annotations`: the program reads the metadata of `Annotated`.

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from mcp_mount.backends.backplane import check_backplane, is_shared
from mcp_mount.backends.stores import Store, store_of
from mcp_mount.calls.backplane import SessionStates
from mcp_mount.calls.callers import CallerKey
from mcp_mount.calls.tasks import TaskLimits, TaskQueue
from mcp_mount.observability.records import Audit
from mcp_mount.policies.chain import read
from mcp_mount.policies.options import RULES, ServerPolicies
from mcp_mount.protocol.settings import MAX_BODY_BYTES, Settings
from mcp_mount.routes.options import FastAPIOptions
from mcp_mount.routes.permissions import rules_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.names import several_names
from mcp_mount.schemas.permissions import Names, caller_key
from mcp_mount.schemas.values import (
    Check,
    filled,
    flag,
    kind_of,
    like,
    mapping,
    or_none,
    seconds,
    text,
    whole,
)
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.host_names import check_origins, check_patterns
from mcp_mount.wire.tokens import AccessToken

if TYPE_CHECKING:
    from mcp_mount.auth.verifiers import Verifier
    from mcp_mount.observability.telemetry import Telemetry

Part: TypeAlias = Literal["settings", "auth", "observability", "policies", "server"]
"""The part of a server that is made anew when the option changes."""


def _as_it_is(name: str, value: Any) -> Any:
    return value


def _icons(name: str, value: Any) -> Sequence[Mapping[str, Any]]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not is_list or not all(
        isinstance(one, Mapping) and isinstance(one.get("src"), str) for one in value
    ):
        raise DefinitionError(
            f'{name} is a list of icons such as {{"src": "https://…"}}, not {value!r}'
        )
    try:
        encode(value)
    except ValueError as error:
        raise DefinitionError(f"{name} has no JSON form: {error}") from None
    return tuple(value)


def _origins(name: str, value: Any) -> frozenset[str]:
    return check_origins(name, () if value is None else value)


def _tasks(name: str, value: Any) -> TaskQueue:
    check = like(TaskQueue, "an object with submit(payload), such as CeleryTasks(celery_app)")
    queue: TaskQueue = check(name, value)
    return queue


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
            f"{kind_of(value)}"
        )
    for one in value:
        if not isinstance(one, str | bytes):
            raise DefinitionError(f"{name} has keys of str or bytes, not {kind_of(one)}")
    # An empty one is none: what a variable of the environment is that nobody has set.
    return [one for one in value if one]


def _auth(name: str, value: Any) -> "Sequence[Verifier] | None":
    if value is None:
        return None
    from mcp_mount.auth.verifiers import verifiers_of

    return verifiers_of(value)


def _resource(name: str, value: Any) -> str:
    from mcp_mount.auth.verifiers import secure_url

    return secure_url(text(name, value), name)


def _scope_hierarchy(name: str, value: Any) -> Mapping[str, Names]:
    for scope, implied in mapping(name, value).items():
        text(f"a scope of {name}", scope)
        several_names(f"{name}[{scope!r}]", implied)
    return mapping(name, value)


def _telemetry(name: str, value: Any) -> "bool | Telemetry":
    if isinstance(value, bool):
        return value
    if isinstance(value, type) or not (hasattr(value, "around") and hasattr(value, "on_request")):
        raise DefinitionError(f"{name} is True, False or a Telemetry, not {kind_of(value)}")
    telemetry: Telemetry = value
    return telemetry


def _audit(name: str, value: Any) -> Audit:
    if not isinstance(value, Audit):
        raise DefinitionError(
            f"{name} is an Audit, such as Audit(after=function), not {kind_of(value)}"
        )
    return value


def _store(name: str, value: Any) -> Store:
    return store_of(value)


def _find_user(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise DefinitionError(f"{name} is a function of the access token, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Option:
    """What an option of a server is, besides its name and type.

    Args:
        part: The part of a server that reads it; of "settings" the field of this name.
        default: Its value where nobody gives one, as `check` returns it.
        check: Checks a value, and returns the form in which it is kept.
        is_object: Whether its value is a function or another object, which configuration that
            imports nothing names by a dotted path; where a URL may stand for it, that is none.
    """

    part: Part
    default: Any = None
    check: Check = _as_it_is
    is_object: bool = False


class ServerOptions(ServerPolicies, total=False):
    """The options of a server, besides its name and path."""

    version: Annotated[str, Option("settings", "0.1.0", filled)]
    """The version of the server, for clients."""
    display_name: Annotated[str | None, Option("settings", None, or_none(text))]
    """The name of the server that people see."""
    description: Annotated[str | None, Option("settings", None, or_none(text))]
    """What the server is for, for clients."""
    website_url: Annotated[str | None, Option("settings", None, or_none(text))]
    """The URL of its website."""
    icons: Annotated[Sequence[Mapping[str, Any]], Option("settings", (), _icons)]
    """Its icons, as the specification has them: {"src": …, "mimeType": …}."""
    instructions: Annotated[str | None, Option("settings", None, or_none(text))]
    """How a model should use the server."""
    max_body_bytes: Annotated[int, Option("settings", MAX_BODY_BYTES, whole(1))]
    """The largest request body that is read, in bytes; 4 MiB by default."""
    allowed_origins: Annotated[Iterable[str], Option("settings", frozenset(), _origins)]
    """Browser origins that may call, besides loopback, such as "https://app.example"."""
    allowed_hosts: Annotated[
        Iterable[str] | None, Option("settings", None, or_none(check_patterns))
    ]
    """Host names to serve (".example.com" for a whole domain), where the host framework does not
    check them; None leaves the check to it."""
    session_ttl: Annotated[float, Option("settings", 7 * 24 * 3600.0, seconds)]
    """How long a session lives, in seconds; a week by default."""
    keep_alive: Annotated[float, Option("settings", 15.0, seconds)]
    """After how many seconds of silence a comment is sent on an event stream. A client that accepts
    a stream gets a response that begins after a third of it, if the handler has not ended."""
    poll_seconds: Annotated[float, Option("settings", 3.0, seconds)]
    """Under WSGI, how often clients of 2025-11-25 ask for changes, in seconds."""
    max_poll_seconds: Annotated[float, Option("settings", 30.0, seconds)]
    """Under WSGI, how seldom they ask when nothing has changed for long, in seconds."""
    waiting_threads: Annotated[int, Option("settings", 4, whole(1))]
    """Under WSGI, how many subscriptions and questions, together, may hold a thread of the web
    server; it must have more. Of greenlets a hundred may, or more if this is more."""
    list_ttl_ms: Annotated[int, Option("settings", 60_000, whole(0))]
    """For how many milliseconds clients may keep lists (2026-07-28)."""
    page_size: Annotated[int | None, Option("settings", None, or_none(whole(1)))]
    """The most entries in one answer to a list request; by default all of them."""
    list_step_up: Annotated[bool, Option("settings", False, flag)]
    """Whether lists show entries that the caller lacks only scopes for. A client that calls one is
    told to get them."""
    auth: Annotated[
        "Verifier | Sequence[Verifier] | None", Option("auth", None, _auth, is_object=True)
    ]
    """Verifies access tokens or API keys, see `mcp_mount.auth`."""
    auth_required: Annotated[bool, Option("auth", True, flag)]
    """Whether `auth` refuses requests without a token; otherwise the host knows their user, or they
    are anonymous."""
    resource: Annotated[str | None, Option("auth", None, or_none(_resource))]
    """The URL of the MCP endpoint, as clients write it, which tokens must be for. By default that
    of the request, where `allowed_hosts` or the host framework vouches for its host name."""
    scope_hierarchy: Annotated[
        Mapping[str, Names] | None, Option("auth", None, or_none(_scope_hierarchy))
    ]
    """Scopes that imply others, such as {"orders:write": "orders:read"}."""
    find_user: Annotated[
        Callable[[AccessToken], Any] | None, Option("auth", None, _find_user, is_object=True)
    ]
    """Finds the user of a verified token, plain or coroutine function; the user is `request.user`
    then. A token for which it returns None, or a user who is not active, is refused."""
    telemetry: Annotated[
        "bool | Telemetry", Option("observability", False, _telemetry, is_object=True)
    ]
    """Spans and metrics of OpenTelemetry: True, or a `Telemetry`."""
    log_calls: Annotated[bool, Option("observability", False, flag)]
    """Whether each call is logged, by the logger `mcp_mount.calls`."""
    audit: Annotated[Audit | None, Option("observability", None, or_none(_audit), is_object=True)]
    """An `Audit`, which is told before and after each call."""
    secret_key: Annotated[str | bytes | Sequence[str | bytes] | None, Option("server", (), _keys)]
    """Seals session ids and cursors: one key, or several with the newest first. By default the
    variable MCP_MOUNT_SECRET_KEY of the environment, or the host's own key."""
    docs: Annotated[bool | None, Option("server", None, or_none(flag))]
    """Whether /docs and /openapi.json are shown. By default they are where the server runs alone,
    and in a host in debug mode."""
    store: Annotated[str | Store | None, Option("server", None, or_none(_store))]
    """Where throttles and caches keep counts and results: by default in this process, or
    "redis://…" for all processes."""
    backplane: Annotated[
        str | SessionStates | None, Option("server", None, or_none(check_backplane), is_object=True)
    ]
    """What carries the state of sessions, change notifications, answers, cancellations and tasks
    between the processes of the server: by default they stay in this process, or "redis://…". The
    store is there as well then, if there is no other one."""
    open: Annotated[bool, Option("server", False, flag)]
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
    tasks: Annotated[TaskQueue | None, Option("server", None, or_none(_tasks), is_object=True)]
    """What brings tasks to worker processes, such as `CeleryTasks(celery_app)`: by default they run
    in the process that takes the request. It needs `backplane`."""
    task_limits: Annotated[TaskLimits | None, Option("server", None, _task_limits, is_object=True)]
    """How much is kept for tasks."""


class NamedServerOptions(ServerOptions, total=False):
    """The options of a server that configuration may set: with its name."""

    name: Annotated[str, Option("settings", "mcp-mount", filled)]
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


def checked_value(name: str, given: Any) -> Any:
    """The value of an option, checked whatever part it belongs to: for configuration.

    A server checks policies when it makes them, of all its options at once.

    Args:
        name: The name of the option, one of `OPTIONS`.
        given: What the user gave.

    Returns:
        The value for `ServerCore.attach`: of a policy what the user gave.

    Raises:
        DefinitionError: As `value_of`.
        ValueError: As `value_of`.
    """
    if OPTIONS[name].part != "policies":
        return value_of(name, given)
    if name in RULES:
        rules_of({name: given})
    else:
        read({name: given})
    return given


def configured(keys: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that configuration sets, each in the form in which a server keeps it.

    Args:
        keys: The names of the options, by the keys that the user writes.
        given: What the user gave, by these keys.

    Raises:
        DefinitionError: For a value that its option cannot have; the message names the key.
    """
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = keys[key]
        try:
            found[name] = checked_value(name, value)
        except (DefinitionError, ValueError) as error:
            words, count = re.subn(rf"^{name}\b", key, str(error))
            raise DefinitionError(words if count else f"{key}: {words}") from None
    return found


def refuse_unverified(key: str, required: Any, auth: Any) -> None:
    """Refuse to ask for credentials that nothing verifies: the server would be open.

    Args:
        key: Where the user asks for them, such as "auth_required=True".
        required: Whether the user does, in so many words.
        auth: The verifiers that the server has.

    Raises:
        DefinitionError: If it has none.
    """
    if required and auth is None:
        raise DefinitionError(
            f"{key} asks for access tokens or API keys, and without auth= nothing verifies them, "
            "so that everybody would be let in: set auth= or permission= (in Django also "
            "LOGIN_REQUIRED, which refuses anonymous users)"
        )


def refuse_tasks_without_backplane(prefix: str, tasks: Any, backplane: Any) -> None:
    """Refuse a queue of tasks where workers cannot find their state.

    Args:
        prefix: How the keys of the user's settings begin.
        tasks: The queue, if there is one.
        backplane: The backplane, as `check_backplane` returns it.

    Raises:
        DefinitionError: If there is a queue, and the backplane is that of one process.
    """
    if tasks is not None and not is_shared(backplane):
        raise DefinitionError(
            f"tasks= ({prefix}TASKS) needs backplane= ({prefix}BACKPLANE), such as "
            "redis://localhost:6379/0: workers and web processes find the state of tasks there"
        )


def protocol_settings(values: Mapping[str, Any] = DEFAULTS, **others: Any) -> Settings:
    """The settings of the protocol.

    Args:
        values: The options of a server, by their names; what is none of the protocol's is left.
        others: Further settings, which no option gives.
    """
    own = {name: values[name] for name in values if OPTIONS[name].part == "settings"}
    return Settings(**{**own, **others})
