"""The command `client`: SignIn takes the line that it prints, and the secret gets tokens."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from mcp_mount.auth import Client, SignIn
from mcp_mount.schemas.functions import DefinitionError
from tests.auth.authorization.shop import Shop
from tests.cli.commands import CommandLine

HOSTS = ("alone", "flask", "django")


def line_of(said: str) -> str:
    """The line for the settings."""
    return said.rstrip().splitlines()[-1].strip().rstrip(",")


def client_of(line: str) -> Client:
    made: Client = eval(line, {"Client": Client, "os": os})
    return made


@pytest.mark.parametrize("host", HOSTS)
def test_a_secret_that_is_printed_gets_tokens(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = CommandLine(host, tmp_path)
    done = line.run("client", *line.target, "nightly-job", "--scopes", "orders:read")
    assert done.returncode == 0, done.stderr
    secret = done.stdout.splitlines()[2]
    assert len(secret) == 43
    assert done.stdout.count(secret) == 1
    wanted = (
        "Client('nightly-job', secret=os.environ['NIGHTLY_JOB_SECRET'], scopes=['orders:read'])"
    )
    assert line_of(done.stdout) == wanted
    monkeypatch.setenv("NIGHTLY_JOB_SECRET", secret)
    shop = Shop(options={"clients": [client_of(wanted)]})
    given: dict[str, Any] = {"grant_type": "client_credentials", "client_id": "nightly-job"}
    assert shop.token(**given, client_secret=secret).status == 200
    assert shop.token(**given, client_secret=f"{secret}x").error == (401, "invalid_client")


def test_keys_that_are_printed_get_tokens(tmp_path: Path) -> None:
    import jwt

    line = CommandLine("alone", tmp_path)
    done = line.run("client", *line.target, "nightly", "--keys", "--scopes")
    assert done.returncode == 0, done.stderr
    private = re.search(
        r"-----BEGIN PRIVATE KEY-----.*-----END PRIVATE KEY-----", done.stdout, re.S
    )
    assert private is not None
    assert "PRIVATE" not in line_of(done.stdout)
    shop = Shop(options={"clients": [client_of(line_of(done.stdout))]})
    now = int(time.time())
    claims = {
        "iss": "nightly",
        "sub": "nightly",
        "aud": shop.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": "1",
    }
    answer = shop.token(
        grant_type="client_credentials",
        client_assertion=jwt.encode(claims, private[0], algorithm="ES256"),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    assert answer.status == 200, answer.body


# The check is one; how it is told is each command line's own.
@pytest.mark.parametrize(
    ("host", "words", "error"),
    [
        ("alone", ["nightly"], "name its scopes="),
        ("alone", ["nightly", "--scopes", "orders:reed"], "'orders:reed'"),
        ("alone", ["night ly", "--scopes"], "plain ASCII without spaces"),
        ("alone", ["web", "--redirects", "javascript:x"], "redirects of Client 'web'"),
        ("flask", ["nightly", "--scopes", "orders:reed"], "'orders:reed'"),
        ("django", ["nightly", "--scopes", "orders:reed"], "'orders:reed'"),
    ],
)
def test_what_the_settings_would_refuse_is_refused(
    host: str, words: list[str], error: str, tmp_path: Path
) -> None:
    line = CommandLine(host, tmp_path)
    done = line.run("client", *line.target, *words)
    assert done.returncode != 0
    assert done.stdout == ""
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_an_id_that_is_taken_is_refused() -> None:
    secret = "s" * 43
    sign_in = SignIn(clients=[Client("nightly", secret=secret)])
    with pytest.raises(DefinitionError, match="two with the id 'nightly'"):
        sign_in.check_client(Client("nightly", secret=secret))


def test_a_client_of_people_has_redirects(tmp_path: Path) -> None:
    line = CommandLine("flask", tmp_path)
    uri = "https://app.example/callback"
    done = line.run("client", "web", "--name", "Web app", "--redirects", uri)
    assert done.returncode == 0, done.stderr
    assert line_of(done.stdout) == (
        f"Client('web', secret=os.environ['WEB_SECRET'], name='Web app', redirects=['{uri}'])"
    )
