"""URLs of Redis and Valkey: a server, a cluster, or the master that Sentinels name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")

_URL: Final = re.compile(
    r"(?:redis|valkey)(?P<tls>s?)(?:\+(?P<kind>cluster|sentinel))?://"
    r"(?P<user>[^@/?#]*@)?(?P<hosts>[^@/?#]*)(?P<path>[^?#]*)(?P<query>[^#]*)"
)

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+)(?::([0-9]{1,5}))?")

_UNENCODED: Final = (
    "the URL of a Redis or Valkey cannot be read: in a user or password, / is written %2F, ? %3F, "
    "# %23 and @ %40"
)

_DATABASE: Final = re.compile(r"&db=([0-9]+)")

_PORTS: Final = {"cluster": 6379, "sentinel": 26379}

_FORMS: Final = {
    "cluster": "redis+cluster://host:6379,host2:6379",
    "sentinel": "redis+sentinel://host:26379,host2:26379/mymaster/0",
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL says.

    Attributes:
        url: That of a single server, as redis-py reads it, with all options.
        kind: Whether it is of a cluster, or of Sentinels; None for a server.
        hosts: The nodes of the cluster, or the Sentinels, with their ports.
        master: The name of the master that the Sentinels know.
    """

    url: str
    kind: Literal["cluster", "sentinel"] | None = None
    hosts: tuple[tuple[str, int], ...] = ()
    master: str = ""


def is_redis_url(url: str) -> bool:
    """Whether a URL names a Redis or Valkey, by its scheme."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.partition("+")[0] in _SCHEMES


def read_redis_url(url: str) -> RedisAddress:
    """Read the URL of a Redis or Valkey. `RedisClients` lists the forms.

    Args:
        url: The URL. It may have a password, so that no error repeats it.

    Raises:
        ValueError: If it is of no such form.
    """
    if url.startswith("unix://"):
        return RedisAddress(url)
    match = _URL.fullmatch(url)
    if "#" in url if match is None else _is_cut_off(match):
        raise ValueError(_UNENCODED)
    if match is None:
        raise ValueError(
            "the URL of a Redis or Valkey begins with redis://, rediss://, valkey://, valkeys:// "
            f"or unix://, or has +cluster or +sentinel before ://, not {url.partition(':')[0]!r}"
        )
    tls, kind, user, hosts, path, query = match.groups(default="")
    scheme = f"redis{tls}://{user}"
    if not kind:
        return RedisAddress(f"{scheme}{hosts}{path}{query}")
    found = [_host(one, _PORTS[kind]) for one in hosts.split(",")]
    if kind == "cluster":
        if path.strip("/") not in ("", "0"):
            raise ValueError(f"a cluster has no databases: the URL is {_FORMS[kind]}")
        return RedisAddress(f"{scheme}cluster{query}", "cluster", tuple(found))
    master, _, database = path.strip("/").partition("/")
    if not master:
        raise ValueError(f"the name of the master is missing: the URL is {_FORMS[kind]}")
    return RedisAddress(f"{scheme}sentinel/{database}{query}", "sentinel", tuple(found), master)


def _is_cut_off(match: re.Match[str]) -> bool:
    """Whether a password with a "/" or "?" has been taken for what comes after the hosts."""
    hosts, path, query = match["hosts"], match["path"], match["query"]
    are_hosts = all(map(_HOST.fullmatch, hosts.split(",")))
    return "@" in path or (not are_hosts and "@" in query)


def shown_redis_url(url: str) -> str:
    """A URL as people may see it: without user, password and options.

    Args:
        url: One that `read_redis_url` takes.
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    # The last one: a password may have it as well.
    shown = f"{scheme}://{place.rpartition('@')[2]}"
    database = _DATABASE.search(f"&{query}")
    return f"{shown}?db={database[1]}" if database else shown


def _host(text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} in the URL is not host:port")
    return match[1].strip("[]"), int(match[2] or port)
