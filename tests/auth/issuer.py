"""An issuer in this process, on real HTTP, whose keys and tokens the tests make themselves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Serves metadata and keys; counts how often the keys are asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, Any] = {}
        self.fetched = 0
        self.fails = False
        self.introspected = 0
        self.gate = threading.Event()
        """Introspection waits here."""
        self.gate.set()
        self.document: Any = None
        """What is served in place of the keys."""
        self.answer: dict[str, Any] = {"active": False}

    def add(self, kid: str, key: Any) -> Any:
        self.keys[kid] = key
        return key

    def token(self, key: Any, *, alg: str = "RS256", kid: str | None = "one", **claims: Any) -> str:
        """A token with good claims, but for those that are given; None leaves one out."""
        whole = {
            "iss": self.url,
            "sub": "ada",
            "aud": "http://testserver/mcp",
            "exp": int(time.time()) + 60,
            "scope": "read",
            **claims,
        }
        whole = {name: value for name, value in whole.items() if value is not None}
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(whole, key, algorithm=alg, headers=headers)

    def jwks(self) -> dict[str, Any]:
        shown = []
        for kid, key in self.keys.items():
            algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            one = json.loads(algorithm.to_jwk(key.public_key()))
            shown.append({**one, "kid": kid, "use": "sig"})
        return {"keys": shown}


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer that listens until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if issuer.fails:
                self.send_error(500)
            elif self.path == "/.well-known/openid-configuration":
                self.reply({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"})
            elif self.path == "/keys":
                issuer.fetched += 1
                time.sleep(0.05)
                self.reply(issuer.jwks() if issuer.document is None else issuer.document)
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            issuer.introspected += 1
            issuer.gate.wait(60)
            if issuer.fails or self.headers["authorization"] != "Basic bWU6c2VjcmV0":
                self.send_error(401)
            else:
                self.reply(issuer.answer)

        def reply(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
