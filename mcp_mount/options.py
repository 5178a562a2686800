"""Every option of a server that its host may set by configuration, declared once.

`MCPServer.configure`, the keys of Flask's configuration (MCP_NAME, ...) and those of Django's
setting MCP_MOUNT ("NAME", ...) all read this table: an option is one row here, one argument of
`MCPServer` (or a member of `PolicyOptions`), and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from mcp_mount.calls.tasks import TaskLimits
from mcp_mount.policies.options import CHECKS, PolicyOptions
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.permissions import caller_key
from mcp_mount.wire.host_names import check_origins, check_patterns

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes the name of an option and what a user has given; returns the value that is kept.

Raises DefinitionError or ValueError for what the option cannot be.
"""

Part: TypeAlias = Literal["settings", "listing", "auth", "observability", "policies", "server"]
"""What of a server keeps an option, and so how it is changed."""


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


def _task_limits(name: str, value: Any) -> TaskLimits:
    if value is not None and not isinstance(value, TaskLimits):
        raise DefinitionError(
            f"{name} is a TaskLimits, such as TaskLimits(tasks_per_caller=50), not {value!r}"
        )
    return value or TaskLimits()


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
    """An option of a server.

    Args:
        name: The argument of `MCPServer`.
        part: What keeps it.
        check: Checks a value, and gives the form in which it is kept.
        is_object: Whether its value is a function or another object, which configuration that
            imports nothing names by a dotted path.
    """

    name: str
    part: Part
    check: Check = _as_it_is
    is_object: bool = False

    @property
    def key(self) -> str:
        """Its name in the configuration of a host, there with or without a prefix."""
        return self.name.upper()


_OBJECTS: Final = frozenset({"when", "call_middleware"})
"""The policies whose values are functions only."""

OPTIONS: Final = {
    option.name: option
    for option in (
        Option("name", "settings", _text),
        Option("version", "settings", _text),
        Option("server_title", "settings"),
        Option("description", "settings"),
        Option("website_url", "settings"),
        Option("icons", "settings"),
        Option("instructions", "settings"),
        Option("max_body_bytes", "settings", _whole(1)),
        Option("session_ttl", "settings", _seconds),
        Option("keep_alive", "settings", _seconds),
        Option("poll_seconds", "settings", _seconds),
        Option("max_poll_seconds", "settings", _seconds),
        Option("allowed_origins", "settings", _origins),
        Option("allowed_hosts", "settings", _hosts),
        Option("list_ttl_ms", "listing", _whole(0)),
        Option("page_size", "listing", _page_size),
        Option("list_step_up", "listing", _flag),
        Option("auth", "auth", is_object=True),
        Option("auth_required", "auth", _flag),
        Option("resource", "auth"),
        Option("scope_hierarchy", "auth"),
        Option("find_user", "auth", _find_user, is_object=True),
        Option("telemetry", "observability", is_object=True),
        Option("log_calls", "observability", _flag),
        Option("audit", "observability", is_object=True),
        Option("secret_key", "server", _keys),
        Option("docs", "server", _flag_or_none),
        Option("store", "server"),
        Option("open", "server", _flag),
        Option("caller", "server", lambda name, value: caller_key(value), is_object=True),
        Option("task_limits", "server", _task_limits, is_object=True),
        *(
            Option(name, "policies", is_object=name in _OBJECTS)
            for name in PolicyOptions.__annotations__
            # max_body_bytes of a server is the limit of the HTTP body, above.
            if name not in CHECKS and name != "max_body_bytes"
        ),
    )
}
"""The options by their names."""


def value_of(name: str, given: Any) -> Any:
    """The value of an option as a server keeps it.

    Args:
        name: The name of the option, one of `OPTIONS`.
        given: What the user has given.

    Raises:
        DefinitionError: For what the option cannot be.
        ValueError: For a host name or an origin that can match nothing.
    """
    return OPTIONS[name].check(name, given)
