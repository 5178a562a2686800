"""What a queue brings to workers: a task as a text that only servers with the same keys can make.

Who can write to the broker must not choose the caller of a tool, so all that is read of a payload
is sealed. Access tokens and headers are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Final

from mcp_mount.calls.tasks import Task
from mcp_mount.protocol.task_methods import Job
from mcp_mount.wire.errors import INTERNAL_ERROR, ProtocolError
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.sealing import Keys, TokenRefused, TokenSealer
from mcp_mount.wire.tokens import AccessToken

logger = own_logger("mcp_mount")

_MAX_PAYLOAD: Final = 64 * 1024 * 1024


class UnreadablePayload(TokenRefused):
    """A payload that another version of this library has made, for a server with these keys.

    Args:
        claims: What it says.

    Attributes:
        task: The id of its task, which can be believed; None if it does not say.
    """

    def __init__(self, claims: Any) -> None:
        super().__init__("of another version")
        found = claims.get("task") if isinstance(claims, dict) else None
        self.task = found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who began a task, and where: what a worker makes a request of.

    Args:
        caller: The id of the user, as the host or the access token knew it.
        key: What the server's `caller=` returned.
        has_key: Whether it has been asked.
        token: What the access token says.
        host_name: The Host header.
        mount: The path of the MCP endpoint, as the client wrote it.
        url: Its URL.
        languages: The languages that the client asks for.
        is_local: Whether a local transport vouches for the caller.
        data: What the host needs to know the caller again.
    """

    caller: str | None
    key: str | None
    has_key: bool
    token: AccessToken | None
    host_name: str
    mount: str
    url: str | None
    languages: str
    is_local: bool
    data: Mapping[str, Any]


class Payloads:
    """Seals and opens the payloads of one server.

    Args:
        keys: Returns the keys of the server.
        server: Returns its name.
    """

    def __init__(self, keys: Keys, server: Callable[[], str]) -> None:
        self._keys = keys
        self._server = server
        self._sealer = TokenSealer("task", keys, server=server, max_length=_MAX_PAYLOAD)

    @property
    def has_keys(self) -> bool:
        """Whether another process can have the same keys."""
        return any(self._keys())

    def seal(self, task: Task, job: Job, origin: Origin) -> str:
        """The payload of a task.

        Args:
            task: The task.
            job: What is to be done.
            origin: Who began it.

        Raises:
            ProtocolError: If JSON cannot hold what is known of the caller.
            ValueError: If it would be too long.
        """
        token = origin.token
        named = None if token is None else {name: getattr(token, name) for name in _OF_TOKEN}
        if named is not None:
            named |= {"scopes": sorted(named["scopes"]), "roles": sorted(named["roles"])}
        whose = {name: getattr(origin, name) for name in _OF_ORIGIN}
        claims = {
            "task": task.id,
            "created": task.created,
            "job": asdict(job),
            "origin": {**whose, "token": named},
        }
        try:
            sealed = self._sealer.seal(claims)
        except TypeError as error:
            logger.error(
                "A task was refused: a worker cannot be told who began it (%s). The claims of an "
                "AccessToken must be plain data, as JSON has it",
                error,
            )
            raise ProtocolError(
                INTERNAL_ERROR, "The server cannot run this as a task; its log says why"
            ) from error
        return json.dumps({"server": self._server(), "task": task.id, "sealed": sealed})

    def open(self, sealed: str) -> tuple[Task, Job, Origin]:
        """What a payload says.

        Args:
            sealed: The member "sealed" of a payload.

        Raises:
            TokenRefused: If no server with these keys and of this name has made it.
            UnreadablePayload: If one has, of another version of this library.
        """
        claims, _ = self._sealer.open(sealed, ttl=inf)
        try:
            job = Job(**claims["job"])
            given = dict(claims["origin"])
            token = given.pop("token")
            origin = Origin(**given, token=None if token is None else AccessToken(**token))
            task = Task(
                claims["task"],
                job.ttl,
                job.poll_interval,
                job.caller,
                job.quota,
                job.tool,
                created=claims["created"],
            )
        except (KeyError, TypeError):
            # While workers are replaced one by one.
            raise UnreadablePayload(claims) from None
        return task, job, origin


_OF_TOKEN: Final = tuple(AccessToken.__dataclass_fields__)
_OF_ORIGIN: Final = tuple(name for name in Origin.__dataclass_fields__ if name != "token")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is written on a payload, and not sealed: it leads to the server that opens it.

    Args:
        server: The name of the server.
        task: The id of the task.
        sealed: The rest.
    """

    server: str
    task: str
    sealed: str


def read_envelope(payload: Any) -> Envelope:
    """What is written on a payload.

    Args:
        payload: A text, or what else a broker has brought.

    Raises:
        TokenRefused: If it is no payload.
    """
    try:
        found = json.loads(payload)
        envelope = Envelope(found["server"], found["task"], found["sealed"])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise TokenRefused("no payload of a task") from None
    if not all(isinstance(one, str) for one in asdict(envelope).values()):
        raise TokenRefused("no payload of a task")
    return envelope
