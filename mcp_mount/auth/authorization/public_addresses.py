"""Connections to hosts that strangers name: to addresses of the public Internet alone.

`ipaddress.is_global` does not decide it. It calls multicast, 6to4, NAT64 and `fec0::/10` global, in
ways that differ between versions of Python, and knows no address that a cloud has put aside.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, TypeAlias

_NOT_PUBLIC_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, and this host (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # behind the NAT of a provider (RFC 6598), and metadata of Alibaba Cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the platform of Azure, from within its machines
        "169.254.0.0/16",  # link-local (RFC 3927), and metadata of most clouds
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890), and metadata of Oracle Cloud
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # automatic multicast tunnels (RFC 7450)
        "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), with broadcast
    )
)

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that has ever been given out (RFC 4291, section 2.4).

Outside of it are loopback, the IPv4 addresses of `::/96` and `::ffff:0:0/96`, `64:ff9b:1::/48`,
unique local, link-local and site-local addresses, segment routing, and multicast.
"""

_NOT_PUBLIC_6: Final = tuple(
    IPv6Network(network)
    for network in (
        # Protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID, AS112, tunnels.
        "2001::/23",
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): an IPv4 address of any kind is within
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3ffe::/16",  # the 6bone, returned (RFC 3701)
        "3fff::/20",  # documentation (RFC 9637)
    )
)

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as networks without IPv4 have them (RFC 6052). Theirs may have other prefixes,
within their own addresses: only the network can tell, and it keeps private addresses out."""

_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""Bits 32 to 63 of an address with an IPv4 address behind them (RFC 5214, section 6.1)."""

_MAX_ADDRESSES: Final = 4
"""How many addresses of a host are tried."""

_MAX_LOOKUPS: Final = 16
"""How many names are resolved at a time, with those that nobody waits for any more."""

_lookups = threading.BoundedSemaphore(_MAX_LOOKUPS)

SecondsLeft: TypeAlias = Callable[[], float]
"""Says how many seconds remain until a deadline, more than none, or raises TimeoutError."""

Resolve: TypeAlias = Callable[..., list[tuple[Any, ...]]]
"""`socket.getaddrinfo`, or what stands in for it."""


class NoPublicServer(Exception):
    """A host that cannot be connected to, or must not be."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the public Internet, and to nothing closer.

    Args:
        address: An IPv4 or IPv6 address, as `socket.getaddrinfo` writes it.
    """
    try:
        one = ip_address(address)
    except ValueError:
        return False
    return _is_public_4(one) if isinstance(one, IPv4Address) else _is_public_6(one)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return _is_public_4(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address in _GLOBAL_UNICAST
        and not any(address in network for network in _NOT_PUBLIC_6)
        and int(address) >> 32 & 0xFFFF_FFFF not in _ISATAP
    )


def connect_publicly(
    host: str,
    left: SecondsLeft,
    *,
    port: int = 443,
    resolve: Resolve = socket.getaddrinfo,
    is_allowed: Callable[[str], bool] = is_public,
) -> socket.socket:
    """A connection to a host, whose name is resolved once.

    What is checked is what is connected to: a name that is resolved again for the connection may
    stand for another address by then.

    Args:
        host: The name of the host.
        left: The time for it.
        port: The port.
        resolve: Resolves the name.
        is_allowed: Whether an address may be connected to.

    Returns:
        A connected socket.

    Raises:
        NoPublicServer: If the name stands for anything but public addresses, or nothing answers.
        TimeoutError: If time runs out.
    """
    found = _resolved(host, port, left, resolve)
    # One that is not public is enough: whoever runs the name decides which comes first. And the
    # message does not tell it, since the answer may come from a name server of this network.
    if not found or not all(_is_allowed(one, is_allowed) for one in found):
        raise NoPublicServer("The name of the client's server has no public address")
    tried = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    tried = tried[:_MAX_ADDRESSES]
    for later, (family, address) in zip(reversed(range(len(tried))), tried, strict=True):
        # The next address has its share of the time when nothing comes back from this one.
        connected = _connected(family, address, left() / (later + 1))
        if connected is not None:
            return connected
    left()
    raise NoPublicServer("The client's server cannot be connected to")


def _is_allowed(found: tuple[Any, ...], is_allowed: Callable[[str], bool]) -> bool:
    family, address = found[0], found[4]
    return family in (socket.AF_INET, socket.AF_INET6) and is_allowed(address[0])


def _connected(family: int, address: Any, seconds: float) -> socket.socket | None:
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # a machine without IPv6
        return None
    try:
        one.settimeout(seconds)
        one.connect(address)
    except OSError:
        one.close()
        return None
    except BaseException:
        one.close()
        raise
    return one


def _resolved(host: str, port: int, left: SecondsLeft, resolve: Resolve) -> list[tuple[Any, ...]]:
    """The addresses of a host.

    Nothing interrupts `getaddrinfo`: a name server that does not answer holds it for half a
    minute. So it runs on a thread that is left behind when time runs out, and that ends with the
    process.
    """
    places = _lookups
    if not places.acquire(timeout=left()):
        raise TimeoutError
    answer: Future[tuple[list[tuple[Any, ...]], BaseException | None]] = Future()

    def look_up() -> None:
        try:
            # With the dot at its end the name is whole: no domain that this machine searches,
            # such as those of a cluster, is appended to it.
            found, failed = resolve(f"{host}.", port, type=socket.SOCK_STREAM), None
        except BaseException as error:
            found, failed = [], error
        finally:
            places.release()
        answer.set_result((found, failed))

    try:
        threading.Thread(target=look_up, name="mcp-mount-names", daemon=True).start()
    except BaseException:
        places.release()
        raise
    try:
        found, failed = answer.result(timeout=left())
    except FutureTimeout:  # before Python 3.11 no TimeoutError
        raise TimeoutError from None
    if failed is not None:
        raise NoPublicServer("The name of the client's server cannot be resolved") from failed
    return found
