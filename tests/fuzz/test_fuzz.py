"""Whatever a client sends to a real host is answered, never by a fault, and leaves nothing behind.

Each example goes to every host: to make it takes longer than to send it.

FUZZ_EXAMPLES=2000 makes so many examples in each test, other ones each time, instead of the few
that are the same in every run.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from mcp_mount.wire.revisions import SUPPORTED
from tests.auth.issuer import Issuer, ec_key, issuing
from tests.fuzz.everything import register
from tests.fuzz.hosts import AUDIENCE, SERVERS
from tests.fuzz.peer import Peer, serving
from tests.fuzz.strategies import (
    RIGHT,
    RIGHT_CLAIMS,
    Raw,
    answers,
    claims,
    headers,
    jose_headers,
    messages,
    params,
    paths,
    raw_requests,
    rightly,
)
from tests.requests import JSON_HEADERS, STATELESS, stateless

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")

fuzz = settings(
    max_examples=int(EXAMPLES or 40),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    # The fixture that looks at the server stands around all examples of a test.
    suppress_health_check=list(HealthCheck),
)

# They are quickly made, and have many forms.
fuzz_bytes = settings(fuzz, max_examples=4 * fuzz.max_examples)

KEY = ec_key()
CREDENTIALS = ("open", "guarded")


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        issuer.add("one", KEY)
        yield issuer


@pytest.fixture(scope="session")
def serve(
    issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, bool], Peer]]:
    """Return a host's server, which is started when it is first asked for."""
    peers: dict[tuple[str, bool], Peer] = {}
    with ExitStack() as stack:

        def start(host: str, guarded: bool) -> Peer:
            if (host, guarded) not in peers:
                folder = tmp_path_factory.mktemp(host)
                right = {"token:good": f"Bearer {token(issuer, {}, {})}"} if guarded else {}
                url = issuer.url if guarded else None
                peers[host, guarded] = stack.enter_context(serving(host, folder, url, right))
            return peers[host, guarded]

        yield start


@pytest.fixture(scope="session", params=CREDENTIALS)
def guarded(request: pytest.FixtureRequest) -> bool:
    """Of the session: one worker of pytest starts open servers, the other those that are not."""
    return bool(request.param == "guarded")


@pytest.fixture
def peers(guarded: bool, serve: Callable[[str, bool], Peer]) -> Iterator[list[Peer]]:
    """The server of every host, each of which is well after all examples of a test, too."""
    peers = [serve(host, guarded) for host in SERVERS]
    before = [peer.vitals() for peer in peers]
    yield peers
    for peer, vitals in zip(peers, before, strict=True):
        peer.check(vitals)


def each(peers: list[Peer]) -> Iterator[Peer]:
    """Each server in turn. Of an example that fails, the last that is noted is the one."""
    for peer in peers:
        note(f"at {peer.host}")
        yield peer


def token(issuer: Issuer, header: Any, said: Any, *, signed: bool = True) -> str:
    """An access token that is right but for what is given."""
    right = {"alg": "ES256", "kid": "one"}
    whole = {"iss": issuer.url, "aud": AUDIENCE, "exp": int(time.time()) + 3600, **RIGHT_CLAIMS}
    parts = [
        {**right, **header} if isinstance(header, dict) else header,
        {**whole, **said} if isinstance(said, dict) else said,
    ]
    content = b".".join(_base64(json.dumps(part).encode()) for part in parts)
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(content, KEY) if signed else b"none"
    return (content + b"." + _base64(signature)).decode()


def _base64(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


@fuzz
@given(
    st.sampled_from(["POST", "POST", "POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS"]),
    headers,
    messages | st.lists(messages, max_size=4) | st.binary(),
    st.lists(answers, max_size=2),
)
def test_any_message_is_answered(
    peers: list[Peer], method: str, named: dict[str, str], body: Any, said: list[Any]
) -> None:
    for peer in each(peers):
        peer.message(method, named, body, said)


@fuzz
@given(
    st.sampled_from(list(RIGHT)),
    st.sampled_from(SUPPORTED),
    st.data(),
    st.lists(answers, max_size=2),
)
def test_any_nearly_right_request_is_answered(
    peers: list[Peer], case: str, version: str, data: st.DataObject, said: list[Any]
) -> None:
    values = data.draw(RIGHT[case])
    wrong = data.draw(st.just({}) | params)
    values = {**values, **wrong} if isinstance(wrong, dict) else values
    named, body = rightly(version, case.split()[0], values)
    if version != STATELESS:
        named = {**named, **data.draw(st.just({}) | headers)}
    for peer in each(peers):
        peer.message("POST", named, body, said)


@fuzz_bytes
@given(raw_requests())
def test_any_bytes_on_a_connection_are_answered_or_refused(peers: list[Peer], raw: Raw) -> None:
    for peer in each(peers):
        peer.exchange(raw.parts, ending=raw.ending)


@fuzz
@given(
    st.sampled_from(["GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "X"]),
    paths,
    headers,
    st.just(b"") | st.just(b"{}") | st.binary(),
)
def test_any_path_is_answered(
    peers: list[Peer], method: str, path: str, named: dict[str, str], body: bytes
) -> None:
    for peer in each(peers):
        peer.message(method, named, body, path=path)


def http_cases() -> st.SearchStrategy[Any]:
    """Requests of each operation of our OpenAPI document: right ones, and wrong ones."""
    import schemathesis

    from mcp_mount import MCPServer

    server = MCPServer("fuzz")
    register(server)
    schema = schemathesis.openapi.from_dict(server.openapi())
    operations = [one.ok() for one in schema.get_all_operations()]
    modes = schemathesis.GenerationMode
    return st.one_of(
        [
            operation.as_strategy(generation_mode=mode)
            for operation in operations
            # Without parameters nothing can be wrong.
            for mode in ([modes.POSITIVE, modes.NEGATIVE] if operation.body else [modes.POSITIVE])
        ]
    )


@fuzz
@given(st.deferred(http_cases))
def test_any_request_by_the_openapi_document_is_answered(peers: list[Peer], case: Any) -> None:
    own = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
    assert own.method is not None
    body = own.body.encode() if isinstance(own.body, str) else own.body or b""
    named = {"content-type": own.headers.get("content-type", "application/json")}
    for peer in each(peers):
        peer.message(own.method, named, body, path=peer.prefix + own.path_url)


@pytest.mark.parametrize("guarded", ["guarded"], indirect=True, scope="session")
@fuzz
@given(
    jose_headers | st.just({}),
    claims,
    st.booleans(),
    st.sampled_from(["Bearer ", "bearer ", "Basic ", "", "Bearer a, Bearer "]),
)
def test_any_credentials_are_answered(
    peers: list[Peer], issuer: Issuer, header: Any, said: Any, signed: bool, scheme: str
) -> None:
    own, body = stateless("tools/list")
    credentials = scheme + token(issuer, header, said, signed=signed)
    for peer in each(peers):
        peer.message("POST", {**own, "authorization": credentials}, body)
        path = f"{peer.prefix}/tools"
        peer.message("GET", {**JSON_HEADERS, "authorization": credentials}, b"", path=path)
