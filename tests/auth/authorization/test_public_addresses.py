"""What is connected to: addresses of the public Internet, each of them checked, and no other."""

from __future__ import annotations

import socket
import threading
from functools import partial
from typing import Any

import pytest

from mcp_mount.auth.authorization import public_addresses
from mcp_mount.auth.authorization.public_addresses import (
    NoPublicServer,
    connect_publicly,
    is_public,
)

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80e::200e",
    "2c0f:fb50::1",
    # IPv4 in a network without it.
    "64:ff9b::8.8.8.8",
)

NOT_PUBLIC = (
    # IPv4: first, last and well-known ones of each range.
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.0.255",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.0",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    # IPv6 that stands for this machine or for no other.
    "::",
    "::1",
    "::2",
    # IPv4 within IPv6: compatible, mapped, translated, public ones as well.
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::ffff:0:8.8.8.8",
    # NAT64, of what is not public, and of a network itself.
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::168.63.129.16",
    "64:ff9b::224.0.0.1",
    "64:ff9b::1:8.8.8.8",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:ffff::1",
    # Tunnels: Teredo, 6to4, ISATAP.
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2002::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:8.8.8.8",
    # Assignments and documentation.
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2001:db8:ffff::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    # Outside of what has been given out.
    "100::1",
    "100:0:0:1::1",
    "1fff:ffff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fdff:ffff::1",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff00::1",
    "ff02::1",
    "ff0e::1",
    # With a zone, and none at all.
    "fe80::1%eth0",
    "fe80::1%2",
    "2606:4700::1111%eth0",
    "",
    "client.example.com",
    "127.1",
    "0x7f000001",
    "2130706433",
    "8.8.8",
    "8.8.8.08",
    "8.8.8.8 ",
    "8.8.8.8/32",
    "[2606:4700::1111]",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(address)


def found(*addresses: str, port: int = 443) -> list[tuple[Any, ...]]:
    """What `getaddrinfo` returns."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
        if ":" in one
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
        for one in addresses
    ]


def ample() -> float:
    return 60.0


class Connections:
    """Stands in for the function that connects, and notes what it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answering: str) -> None:
        self.tried: list[str] = []
        self.seconds: list[float] = []
        self._answering = answering
        self.made = socket.socket()
        self.made.close()
        monkeypatch.setattr(public_addresses, "_connected", self._connect)

    def _connect(self, family: int, address: Any, seconds: float) -> socket.socket | None:
        self.tried.append(address[0])
        self.seconds.append(seconds)
        return self.made if address[0] in self._answering else None


@pytest.mark.parametrize("address", [one for one in NOT_PUBLIC if one[:1] in "0123456789f:"])
def test_a_name_for_such_an_address_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    connections = Connections(monkeypatch, address)
    with pytest.raises(NoPublicServer) as caught:
        connect_publicly("client.example.com", ample, resolve=lambda *_, **__: found(address))
    # What a name stands for within this network is nobody's business.
    assert str(caught.value) == "The name of the client's server has no public address"
    assert connections.tried == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("8.8.8.8", "10.0.0.1"),
        ("10.0.0.1", "8.8.8.8"),
        ("8.8.8.8", "2606:4700::1111", "::1"),
        ("1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "127.0.0.1"),
        (),
    ],
)
def test_one_address_that_is_not_public_is_enough(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    connections = Connections(monkeypatch, *addresses)
    with pytest.raises(NoPublicServer, match="no public address"):
        connect_publicly("client.example.com", ample, resolve=lambda *_, **__: found(*addresses))
    assert connections.tried == []


def test_an_address_of_another_family_is_not_public(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(monkeypatch, "8.8.8.8")
    other = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))]
    with pytest.raises(NoPublicServer, match="no public address"):
        connect_publicly("client.example.com", ample, resolve=lambda *_, **__: other)
    assert connections.tried == []


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers with a public address first, and then with a private one."""
    answers = [found("8.8.8.8"), found("127.0.0.1")]
    asked: list[tuple[Any, ...]] = []

    def resolve(*arguments: Any, **options: Any) -> list[tuple[Any, ...]]:
        asked.append(arguments)
        return answers[len(asked) - 1]

    connections = Connections(monkeypatch, "8.8.8.8", "127.0.0.1")
    connected = connect_publicly("client.example.com", ample, resolve=resolve)
    assert connected is connections.made
    assert connections.tried == ["8.8.8.8"]
    # The dot keeps the domains away that this machine appends to names.
    assert asked == [("client.example.com.", 443)]


def test_the_next_address_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(monkeypatch, "1.1.1.3")
    addresses = ("2606:4700::1111", "2606:4700::1111", "1.1.1.1", "1.1.1.3")
    connect_publicly("client.example.com", lambda: 6.0, resolve=lambda *_, **__: found(*addresses))
    assert connections.tried == ["2606:4700::1111", "1.1.1.1", "1.1.1.3"]
    assert connections.seconds == [2.0, 3.0, 6.0]


def test_four_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(monkeypatch)
    addresses = [f"1.1.1.{n}" for n in range(1, 9)]
    with pytest.raises(NoPublicServer, match="cannot be connected to"):
        connect_publicly("client.example.com", ample, resolve=lambda *_, **__: found(*addresses))
    assert connections.tried == addresses[:4]


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
def test_a_real_server_is_connected_to(family: str) -> None:
    kind = socket.AF_INET6 if ":" in family else socket.AF_INET
    try:
        listening = socket.create_server((family, 0), family=kind)
    except OSError:
        pytest.skip("this machine has no such address")
    with listening:
        port = listening.getsockname()[1]
        connect = partial(
            connect_publicly,
            port=port,
            # Nothing listens at the first.
            resolve=lambda host, port, **_: found("127.0.0.2", family, port=port),
            is_allowed=lambda address: True,
        )
        with connect("client.example.com", ample) as connected:
            assert connected.getpeername()[:2] == (family, port)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError(), TimeoutError()])
def test_a_name_without_an_address(error: Exception) -> None:
    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise error

    with pytest.raises(NoPublicServer, match="cannot be resolved"):
        connect_publicly("client.example.com", ample, resolve=resolve)


def test_a_name_server_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_addresses, "_lookups", threading.BoundedSemaphore(1))
    asked, gate = threading.Event(), threading.Event()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        asked.set()
        gate.wait()
        return found("8.8.8.8")

    try:
        with pytest.raises(TimeoutError):
            connect_publicly("client.example.com", lambda: 0.05, resolve=resolve)
        assert asked.wait(60)
    finally:
        gate.set()


def test_names_that_are_left_behind_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_addresses, "_lookups", threading.BoundedSemaphore(2))
    gate, ended = threading.Event(), threading.Semaphore(0)

    def hang(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        gate.wait()
        ended.release()
        return found("8.8.8.8")

    def unasked(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise AssertionError("one too many")

    for _ in range(2):
        with pytest.raises(TimeoutError):
            connect_publicly("client.example.com", lambda: 0.05, resolve=hang)
    with pytest.raises(TimeoutError):
        connect_publicly("client.example.com", lambda: 0.05, resolve=unasked)
    gate.set()
    for _ in range(2):
        assert ended.acquire(timeout=60)
    # Their places are free again.
    Connections(monkeypatch, "8.8.8.8")
    for _ in range(3):
        connect_publicly("client.example.com", ample, resolve=lambda *_, **__: found("8.8.8.8"))
