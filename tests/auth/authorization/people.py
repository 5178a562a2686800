"""People who sign in: a browser that fills in the login and consent pages of a real host."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit
from weakref import finalize

import httpx2
from mcp.client.auth import AuthorizationCodeResult

from tests.auth.oauth import Person

FORM = re.compile(r'name="form" value="([^"]+)"')
ACTION = re.compile(r'<form method="post" action="([^"]+)"')
REFRESH = re.compile(r'<meta http-equiv="refresh" content="0;url=([^"]+)">')


class Browser:
    """A browser: it keeps cookies, and follows redirects within the host.

    Args:
        user: Who logs in when a login page is shown.
        origin: Where the host is.
    """

    def __init__(self, user: str, origin: str) -> None:
        self.user = user
        self.origin = origin
        self.http = httpx2.Client(timeout=30)
        finalize(self, self.http.close)

    def open(self, url: str) -> httpx2.Response:
        """Open a URL, and log in if the host asks for that."""
        answer = self.http.get(url)
        while answer.is_redirect and (there := urljoin(url, answer.headers["location"])).startswith(
            self.origin
        ):
            url = there
            answer = self.http.get(url)
            if "<h1>Log in</h1>" in answer.text:
                answer = self.log_in(url, answer)
        return answer

    def log_in(self, url: str, page: httpx2.Response) -> httpx2.Response:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        fields = {"username": self.user, "password": "secret"}
        if token is not None:
            fields["csrfmiddlewaretoken"] = token[1]
        return self.http.post(url, data=fields, headers={"referer": url})

    def decide(self, page: httpx2.Response, decision: str = "allow") -> httpx2.Response:
        """Press a button of a consent page."""
        form, action = FORM.search(page.text), ACTION.search(page.text)
        assert form is not None, (page.status_code, page.text)
        assert action is not None, page.text
        return self.http.post(
            urljoin(str(page.url), unescape(action[1])),
            data={"form": unescape(form[1]), "decision": decision},
            headers={"origin": self.origin},
        )

    def consent(self, url: str, decision: str = "allow") -> dict[str, str]:
        """Open an authorization URL and decide: the parameters that the client gets."""
        done = self.decide(self.open(url), decision)
        found = REFRESH.search(done.text)
        assert found is not None, (done.status_code, done.text)
        return {k: v[0] for k, v in parse_qs(urlsplit(unescape(found[1])).query).items()}


class SigningIn(Person):
    """A client's person, who logs in and consents in a browser."""

    def __init__(self, user: str, origin: str) -> None:
        super().__init__()
        self.browser = Browser(user, origin)
        self.answer: dict[str, Any] = {}

    async def come_back(self) -> AuthorizationCodeResult:
        self.answer = answer = self.browser.consent(self.visited[-1])
        return AuthorizationCodeResult(
            code=answer["code"], state=answer["state"], iss=answer["iss"]
        )
