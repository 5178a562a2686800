"""A server with a SignIn in this process: requests go straight to its authorization server."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from mcp_mount import MCPServer
from mcp_mount.auth.authorization.accounts import Person
from mcp_mount.auth.authorization.events import SignInEvent
from mcp_mount.auth.authorization.sign_in import SignIn
from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.transports.driving import follow
from mcp_mount.wire.messages import Reply
from mcp_mount.wire.tokens import AccessToken

RESOURCE = "https://shop.example/mcp"
BASE = "https://shop.example/mcp/assistants"
ISSUER = "https://shop.example"
CALLBACK = "http://127.0.0.1:3030/callback"
VERIFIER = "v.~-_" + "0123456789" * 5
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = {"content-type": "application/x-www-form-urlencoded"}
SCOPES = {"orders:read": "See your orders", "orders:write": "Change your orders"}


@dataclass
class Clock:
    """The time, which a test moves on."""

    now: float = 1795765924.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """An answer of an endpoint for clients."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> tuple[int, str]:
        assert sorted(self.body) == ["error", "error_description"], self.body
        return self.status, self.body["error"]


@dataclass
class Shop:
    """A shop with an authorization server.

    Attributes:
        options: Of its SignIn.
        people: The stamps of those who may come.
        browser: The cookie of the browser in use.
    """

    options: dict[str, Any] = field(default_factory=dict)
    key: Any = "a key of tests"
    people: dict[str, Any] = field(default_factory=lambda: {"ann": "1", "bob": "1"})
    events: list[SignInEvent] = field(default_factory=list)
    browser: str | None = None
    issuer: str = ISSUER
    name: str = "shop"

    def __post_init__(self) -> None:
        given: dict[str, Any] = {
            "scopes": SCOPES,
            "user": lambda request: request["user"],
            "login": "/login",
            "still_valid": lambda user: self.people.get(user),
            "on_event": self.events.append,
            **self.options,
        }
        self.sign_in = SignIn(**given)
        self.mcp = MCPServer(
            self.name, auth=self.sign_in, secret_key=self.key, allowed_hosts=["shop.example"]
        )

    def kinds(self) -> list[str]:
        """What has happened, in order."""
        return [one.kind for one in self.events]

    def send(
        self,
        method: str,
        place: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        user: str | Person | None = None,
        base: str = BASE,
    ) -> Reply:
        given = dict(headers or {})
        name = "__Secure-mcp_signin" if base.startswith("https://") else "mcp_signin"
        if self.browser is not None:
            given["cookie"] = f"other=1; {name}={self.browser}"
        reply = self.reply(method, place, query, body, given, user, base)
        cookie = dict(reply.headers).get("set-cookie")
        if cookie is not None:
            self.browser = cookie.partition(";")[0].partition("=")[2]
        return reply

    def reply(
        self,
        method: str,
        place: str,
        query: str,
        body: bytes,
        headers: Mapping[str, str],
        user: str | Person | None,
        base: str,
    ) -> Reply:
        """What is answered, here without a host."""
        return follow(
            self.sign_in.server.respond(
                WebRequest(
                    method=method,
                    place=place,
                    query=query,
                    headers=headers,
                    body=body,
                    base=base,
                    resource=RESOURCE,
                    issuer=self.issuer,
                    accounts=self.sign_in.accounts,
                    host_request={"user": user},
                    address="192.0.2.1",
                    render=self.sign_in.render or (lambda name, values: None),
                )
            )
        )

    def ask(
        self, place: str, body: bytes, headers: Mapping[str, str] = FORM, method: str = "POST"
    ) -> Answer:
        reply = self.send(method, place, body=body, headers=headers)
        return Answer(
            reply.status, dict(reply.headers), json.loads(reply.body) if reply.body else {}
        )

    def register(self, **metadata: Any) -> Answer:
        document = {"redirect_uris": [CALLBACK], "client_name": "Probe", **metadata}
        body = json.dumps(document).encode()
        return self.ask("/register", body, {"content-type": "application/json"})

    def client(self, **metadata: Any) -> str:
        answer = self.register(**metadata)
        assert answer.status == 201, answer.body
        client_id: str = answer.body["client_id"]
        return client_id

    def query(self, client_id: str, **changed: Any) -> str:
        """The query of an authorization request; None leaves a parameter out."""
        given = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": CALLBACK,
            "state": "s1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "scope": "orders:read",
            **changed,
        }
        return urlencode({name: one for name, one in given.items() if one is not None}, doseq=True)

    def authorize(self, client_id: str, user: str | None = "ann", **changed: Any) -> Reply:
        return self.send("GET", "/authorize", self.query(client_id, **changed), user=user)

    def decide(self, page: Reply, user: str | None = "ann", decision: str = "allow") -> Reply:
        body = urlencode({"form": form_of(page), "decision": decision}).encode()
        return self.send("POST", "/authorize", body=body, headers=FORM, user=user)

    def code(self, client_id: str, user: str = "ann", **changed: Any) -> str:
        done = self.decide(self.authorize(client_id, user, **changed), user)
        return dict(answer_of(done))["code"]

    def token(self, **form: Any) -> Answer:
        given = {name: one for name, one in form.items() if one is not None}
        return self.ask("/token", urlencode(given, doseq=True).encode())

    def redeem(self, client_id: str, code: str, **changed: Any) -> Answer:
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": client_id,
            "code_verifier": VERIFIER,
            "redirect_uri": CALLBACK,
            "resource": RESOURCE,
            **changed,
        }
        return self.token(**given)

    def refresh(self, client_id: str, token: str, **changed: Any) -> Answer:
        given = {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": client_id,
            **changed,
        }
        return self.token(**given)

    def connect(self, client_id: str, user: str = "ann", **changed: Any) -> dict[str, Any]:
        """The tokens of a new connection."""
        uri = changed.get("redirect_uri", CALLBACK)
        answer = self.redeem(client_id, self.code(client_id, user, **changed), redirect_uri=uri)
        assert answer.status == 200, answer.body
        return answer.body

    def verify(self, token: str, resource: str | None = RESOURCE) -> AccessToken:
        return follow(self.sign_in.verify(token, resource))


def form_of(page: Reply) -> str:
    found = re.search(r'name="form" value="([^"]+)"', page.body.decode())
    assert found is not None, (page.status, page.body)
    return unescape(found[1])


def link_of(page: Reply) -> str:
    """Where a page leads back to."""
    found = re.search(r'<a href="([^"]+)">Go back', page.body.decode())
    assert found is not None, (page.status, page.body)
    return unescape(found[1])


def goes_by_itself(page: Reply) -> bool:
    return b'http-equiv="refresh"' in page.body


def answer_of(page: Reply) -> list[tuple[str, str]]:
    """The parameters that a client is answered with, by a page or by a redirect."""
    url = location(page) if page.status == 302 else link_of(page)
    return parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)


def location(reply: Reply) -> str:
    assert reply.status in (302, 303), (reply.status, reply.body)
    return dict(reply.headers)["location"]


def words(page: Reply) -> str:
    """What a person reads on a page."""
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", page.body.decode(), flags=re.DOTALL)
    return " ".join(unescape(text).split())


def basic(client_id: str, secret: str = "") -> dict[str, str]:
    import base64

    raw = f"{client_id}:{secret}".encode()
    return {**FORM, "authorization": f"Basic {base64.b64encode(raw).decode()}"}


def names(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [name for name, _ in pairs]
