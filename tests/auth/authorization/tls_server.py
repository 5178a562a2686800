"""A server on loopback that speaks TLS, with an authority of its own, and says anything."""

from __future__ import annotations

import datetime
import socket
import ssl
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from hashlib import sha256
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcp_mount.auth.authorization.public_addresses import connect_publicly

NAME = "client.example.com"
"""What the certificate is for."""

Say: TypeAlias = Callable[[Any], None]
"""Answers on a connection."""


class Authority:
    """Issues certificates that nobody trusts but for the contexts it makes."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self._certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 7 * day)
            .not_valid_after(now + days * day)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
        )

    def issued(self, *names: str, days: int = 1) -> tuple[bytes, bytes, str]:
        """A key and its certificate for some names, in PEM, and the digest of the public key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            self._builder(subject, key, days)
            .add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = b64encode(sha256(public).digest()).decode()
        return private, certificate.public_bytes(serialization.Encoding.PEM), digest

    def serving(self, *names: str, days: int = 1) -> ssl.SSLContext:
        """A context for a server of some names."""
        key, certificate, _ = self.issued(*names, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(key + certificate)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    @property
    def pem(self) -> str:
        """Its own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def trusting(self) -> ssl.SSLContext:
        """A context for a client that trusts this authority alone, and is the usual one else."""
        return ssl.create_default_context(cadata=self.pem)


@cache
def authority() -> Authority:
    return Authority()


class Server:
    """What a test asks of the server.

    Attributes:
        connect: Connects to it, whatever the name of the host.
        requests: What it has been asked.
        closing: Set when the test ends.
    """

    def __init__(self, port: int) -> None:
        self.connect = partial(
            connect_publicly,
            port=port,
            resolve=lambda host, port, **_: [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            ],
            is_allowed=lambda address: True,
        )
        self.requests: list[bytes] = []
        self.closing = threading.Event()

    def drip(self, connection: Any, text: bytes) -> None:
        """Send a byte at a time, for as long as the client listens."""
        for byte in text:
            connection.sendall(bytes([byte]))
            if self.closing.wait(0.005):
                return


@contextmanager
def serving(say: Say | bytes, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that answers each request.

    Args:
        say: What it answers with, or what answers.
        context: Its certificate; by default a good one.
    """
    context = context or authority().serving(NAME)
    with raw_serving(lambda raw: _answer(server, context, say, raw)) as server:
        yield server


def _answer(server: Server, context: ssl.SSLContext, say: Say | bytes, raw: socket.socket) -> None:
    with context.wrap_socket(raw, server_side=True) as connection:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            more = connection.recv(4096)
            if not more:
                return
            request += more
        server.requests.append(request)
        if callable(say):
            say(connection)
        else:
            connection.sendall(say)
            # Without it the answer may be cut off, for all that a client knows.
            connection.unwrap()


@contextmanager
def raw_serving(say: Callable[[socket.socket], None]) -> Iterator[Server]:
    """A server without TLS, for what is said before it begins."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1])
    threads: list[threading.Thread] = []

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(60)
            say(connection)

    def listen() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                if server.closing.is_set():
                    connection.close()
                    return
                thread = threading.Thread(target=answer, args=(connection,), daemon=True)
                thread.start()
                threads.append(thread)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield server
    finally:
        server.closing.set()
        # `close` would not wake `accept`.
        with suppress(OSError):
            socket.create_connection(listening.getsockname(), timeout=60).close()
        listener.join(60)
        listening.close()
        for thread in threads:
            thread.join(60)
