"""Checks of the pages that a person sees: the page of the authorization server, the login page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from mcp_mount.cli.checking.asking import Answered
from mcp_mount.cli.checking.discovery import Discovery, parts_of
from mcp_mount.cli.checking.findings import EVERY, HOSTED, PROXY, Finding
from mcp_mount.wire.messages import JSON

_CALLBACK: Final = "http://127.0.0.1/callback"

_CHALLENGE: Final = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""That of RFC 7636, appendix B. No code is ever redeemed."""

_BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64) mcp-mount-check"


def check_pages(discovery: Discovery) -> Iterator[Finding]:
    """Check the pages that a person sees, as far as somebody without an account comes."""
    url = discovery.server.get("authorization_endpoint")
    if not isinstance(url, str) or not discovery.has_own_server:
        return
    refusal = discovery.asker.get(url, agent=_BROWSER)
    if refusal.status != 400:
        yield Finding(
            f"authorization_endpoint: {refusal}, and not 400, without any parameters",
            "FastMCP registers anew at 400 only; another answer is usually one of a login or of a "
            "bot wall in front of the page",
            "let the server itself answer at this URL",
        )
    else:
        yield from _check_headers(refusal, "The page of the authorization server")
    client = _client(discovery)
    if client is not None:
        yield from _check_login(discovery, url, client)


def _client(discovery: Discovery) -> str | None:
    """The id of a client that is registered for this check; None if none can be."""
    url = discovery.server.get("registration_endpoint")
    if not isinstance(url, str):
        return None
    body = {"redirect_uris": [_CALLBACK], "client_name": "mcp-mount check"}
    answer = discovery.asker.send(
        "POST", url, {"content-type": JSON}, json.dumps(body).encode()
    ).json
    client = answer.get("client_id") if isinstance(answer, dict) else None
    return client if isinstance(client, str) else None


def _check_login(discovery: Discovery, url: str, client: str) -> Iterator[Finding]:
    query = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": _CALLBACK,
        "state": "s",
        "code_challenge": _CHALLENGE,
        "code_challenge_method": "S256",
    }
    asked = discovery.asker.get(f"{url}?{urlencode(query)}", agent=_BROWSER)
    if not asked.is_redirect:
        yield Finding(
            f"{_short(asked)}, instead of leading to the login page",
            "a person without a session cannot log in",
            "see login= and user= of SignIn, and the log of the application",
        )
        return
    page = discovery.asker.get(asked.location, agent=_BROWSER)
    if page.is_redirect:
        page = discovery.asker.get(page.location, agent=_BROWSER)
    here, there = parts_of(discovery.url), parts_of(page.url)
    if (there.hostname == here.hostname) and there.scheme != here.scheme:
        yield Finding(
            f"The login page is at {there.scheme}://{there.netloc}, and not at {here.scheme}",
            "browsers leave out cookies that are Secure, and anybody on the way reads passwords",
            PROXY,
        )
    if page.status != 200:
        yield Finding(
            f"The login page: {_short(page)}",
            f"nobody can log in, with {EVERY}",
            "see login= of SignIn (LOGIN_URL in Django, login_view of Flask-Login)",
        )
        return
    yield from _check_headers(page, "The login page")
    yield from _check_cookies(page)


def _check_headers(page: Answered, name: str) -> Iterator[Finding]:
    opener = (page.header("cross-origin-opener-policy") or "").partition(";")[0].strip()
    if opener in ("same-origin", "same-origin-allow-popups"):
        yield Finding(
            f"{name} has the header Cross-Origin-Opener-Policy: {opener}",
            f"{HOSTED} open it in a popup, which this cuts off: they wait forever",
            "send unsafe-none there (in Django, set the header in the login view: "
            "SECURE_CROSS_ORIGIN_OPENER_POLICY is same-origin by default)",
        )
    for policy in _policies(page):
        sources = policy.get("form-action")
        own = parts_of(page.url)
        good = {"'self'", "*", f"{own.scheme}:", own.netloc, f"{own.scheme}://{own.netloc}"}
        if sources is not None and not good & set(sources):
            yield Finding(
                f"{name} has the Content-Security-Policy form-action {' '.join(sources)}",
                "the browser does not send the form, whichever client it is for",
                "allow 'self'",
            )


def _policies(page: Answered) -> Iterator[dict[str, list[str]]]:
    for value in page.values("content-security-policy"):
        for policy in value.split(","):
            parts = [one.split() for one in policy.split(";") if one.strip()]
            yield {one[0].lower(): one[1:] for one in parts}


def _check_cookies(page: Answered) -> Iterator[Finding]:
    is_secure = page.url.startswith("https://")
    for line in page.values("set-cookie"):
        name, _, rest = line.partition("=")
        parts = [one.strip().lower() for one in rest.split(";")[1:]]
        same_site = next((one[9:] for one in parts if one.startswith("samesite=")), "lax")
        if "secure" not in parts and same_site == "none":
            yield Finding(
                f"The cookie {name!r} has SameSite=None without Secure",
                "browsers drop it: people are never logged in",
                "set Secure",
            )
        elif "secure" in parts and not is_secure and "127.0.0.1" not in page.url:
            yield Finding(
                f"The cookie {name!r} is Secure, and the page is not https",
                "browsers drop it: people are never logged in",
                "serve the pages by https",
            )
        elif same_site == "strict":
            yield Finding(
                f"The cookie {name!r} has SameSite=Strict",
                "who comes from an assistant seems to be logged out, and has to log in each time",
                "use SameSite=Lax for the session",
                is_in_the_way=False,
            )
        elif is_secure and "secure" not in parts:
            yield Finding(
                f"The cookie {name!r} is not Secure",
                "it is sent without TLS as well",
                "set Secure (SESSION_COOKIE_SECURE)",
                is_in_the_way=False,
            )


def _short(answer: Answered) -> str:
    """An answer, without the query of its URL."""
    return str(answer).replace(f"?{parts_of(answer.url).query}", "")
