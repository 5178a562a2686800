"""The command `client`: makes the secret or the keys of a client that the owner configures, and the
line for the settings. Nothing is kept here."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from secrets import token_urlsafe
from typing import Any

from mcp_mount.base import MCPServer
from mcp_mount.cli.commands import Declare, Screen, printable, sign_in_of
from mcp_mount.cli.console import CommandError
from mcp_mount.schemas.extras import requires
from mcp_mount.schemas.functions import DefinitionError


def declare(parser: ArgumentParser, of_host: Declare) -> None:
    """Declare the arguments of the command.

    Args:
        parser: The parser of the command.
        of_host: Declares those by which the server is found.
    """
    of_host(parser)
    parser.add_argument("id", help="the client_id")
    parser.add_argument("--name", help="what the pages call it")
    parser.add_argument("--scopes", nargs="*", metavar="SCOPE", help="what it may ask for")
    parser.add_argument(
        "--redirects", nargs="+", metavar="URI", help="where codes may be sent, if people use it"
    )
    parser.add_argument(
        "--keys", action="store_true", help="a key pair (private_key_jwt) instead of a secret"
    )


def run(server: MCPServer, options: Namespace, screen: Screen) -> int:
    """Run the command; its exit status.

    Args:
        server: The server.
        options: What was typed.
        screen: Where it is told.

    Raises:
        CommandError: If there is such a client already, or the settings would not take it.
    """
    # Only this command needs it.
    from mcp_mount.auth import Client

    sign_in = sign_in_of(server)
    given: dict[str, Any] = {
        name: value
        for name in ("name", "scopes", "redirects")
        if (value := getattr(options, name)) is not None
    }
    if options.keys:
        with requires("auth", "client --keys"):
            import cryptography  # noqa: F401
        private, public = _key_pair()
        given_once: dict[str, Any] = {"jwks": public}
        shown, words = f"jwks={json.dumps(public)}", "private key"
    else:
        private = token_urlsafe(32)
        given_once = {"secret": private}
        shown, words = f"secret=os.environ[{_variable(options.id)!r}]", "secret"
    try:
        sign_in.check_client(Client(options.id, **given_once, **given))
    except (DefinitionError, ValueError) as error:
        raise CommandError(str(error)) from None
    line = ", ".join([repr(options.id), shown, *(f"{k}={v!r}" for k, v in given.items())])
    screen.write(f"The {words}, which is shown this once, for the client:")
    screen.write("")
    screen.write(private)
    screen.write("")
    if not options.keys:
        screen.write(f"The environment of the server has it as {_variable(options.id)}.")
    screen.write("The line for clients=[…] of SignIn:")
    screen.write("")
    screen.write(f"    Client({printable(line)}),")
    return 0


def _variable(id: str) -> str:
    """The name of an environment variable for the secret of a client."""
    plain = "".join(one if one.isascii() and one.isalnum() else "_" for one in id.upper())
    return f"{plain}_SECRET"


def _key_pair() -> tuple[str, dict[str, str]]:
    """A private key in PEM, and its public key as a JWK, for ES256 (RFC 7518, section 6.2)."""
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    numbers = key.public_key().public_numbers()

    def encoded(number: int) -> str:
        return urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()

    public = {
        "kty": "EC",
        "crv": "P-256",
        "x": encoded(numbers.x),
        "y": encoded(numbers.y),
        "kid": token_urlsafe(8),
        "alg": "ES256",
    }
    return private.decode().strip(), public
