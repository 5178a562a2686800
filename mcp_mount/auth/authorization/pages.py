"""The pages of the authorization server: consent, connected assistants, errors.

Each is made of a name and of values, by the host's template of that name or by the built-in one
here. All text from outside is escaped, and no page runs a script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from secrets import token_urlsafe
from typing import Any, Final

from mcp_mount.auth.authorization.web import WebRequest
from mcp_mount.wire.messages import Reply

COOKIE_SECONDS: Final = 24 * 3600

MAX_TOOLS: Final = 30
"""How many tools of a scope are named: nobody reads more."""

_HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    # Codes stand in URLs, and pages in frames are clicked by who does not see them.
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    # An assistant opens the page in a popup, and looks for the code in its own window
    # (Django's default, same-origin, cuts the two apart).
    ("cross-origin-opener-policy", "unsafe-none"),
)

_POLICY: Final = "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; "
_POLICY_END: Final = "frame-ancestors 'none'; base-uri 'none'"

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}
h1{font-size:1.5rem}ul{padding-left:1.2rem}
.note{opacity:.8;font-size:.9rem}.warn{border-left:4px solid #c60;padding-left:.8rem}
button{font:inherit;padding:.5rem 1.2rem;border-radius:.4rem;border:1px solid;cursor:pointer}
button[value=allow]{background:#0a58ca;border-color:#0a58ca;color:#fff}
form{display:flex;gap:1rem;margin-top:1.5rem}
li form{display:inline;margin-left:1rem}
code{overflow-wrap:anywhere}
"""


def page(
    request: WebRequest,
    name: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    browser: str | None = None,
) -> Reply:
    """A page as an HTTP response.

    Args:
        request: The request.
        name: Of its template: "consent.html", "connected.html", "redirect.html", "error.html".
        values: What the template gets.
        status: The HTTP status.
        browser: The value of the cookie that ties its forms to the browser, if it has forms.
    """
    nonce = token_urlsafe(16)
    given = {**values, "nonce": nonce}
    body = request.render(name, given)
    if body is None:
        body = BUILT_IN[name](given)
    headers = [
        *_HEADERS,
        ("content-security-policy", _POLICY.format(nonce=nonce) + _POLICY_END),
    ]
    if browser is not None:
        secure = "; Secure" if request.is_secure else ""
        headers.append(
            (
                "set-cookie",
                f"{request.cookie_name}={browser}; Path={request.path}; "
                f"Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}",
            )
        )
    return Reply(status, body.encode("utf-8", "replace"), headers)


def _document(values: Mapping[str, Any], title: str, body: str, head: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{head}'
        f"<title>{escape(title)}</title>"
        f'<style nonce="{values["nonce"]}">{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )


def _consent(values: Mapping[str, Any]) -> str:
    client, host = escape(values["client_name"]), values["client_host"]
    vouched = (
        f"<p>Its publisher is <strong>{escape(host)}</strong> (verified).</p>"
        if host and not values["is_local"]
        else f"<p>Its description is from <strong>{escape(host)}</strong>.</p>"
        '<p class="warn">It runs on your computer, where any program can say that it is this one. '
        "Go on only if you have just started to connect it.</p>"
        if host
        else '<p class="warn"><strong>Unverified:</strong> the assistant itself says that this is '
        "its name, and nobody has checked that. Go on only if you have just started to connect "
        "it.</p>"
    )
    scopes = "".join(
        f"<li>{escape(scope['words'])}{_tools(scope['tools'])}</li>" for scope in values["scopes"]
    )
    others = _tools(values["tools"])
    if scopes and others:
        scopes += f"<li>Use other tools of {escape(values['server_name'])}{others}</li>"
    asked = (
        f"<p>It will be able to:</p><ul>{scopes}</ul>"
        if scopes
        else f"<p>It will be able to use the tools of {escape(values['server_name'])} in your "
        f"name.{others}</p>"
    )
    body = (
        f"<h1>Connect {client} to {escape(values['server_name'])}?</h1>"
        f"<p>You are signed in as <strong>{escape(values['person'])}</strong>. "
        f'<a href="{escape(values["login_url"])}">Not you?</a></p>{vouched}{asked}'
        f'<p class="note">You will be sent to <code>{escape(values["where"])}</code>. '
        "You can end the connection at any time on the page of your "
        f'<a href="{escape(values["connected_url"])}">connected assistants</a>.</p>'
        f'<form method="post" action="{escape(values["action"])}">'
        f'<input type="hidden" name="form" value="{escape(values["form"])}">'
        '<button name="decision" value="allow">Allow</button>'
        '<button name="decision" value="deny">Deny</button></form>'
    )
    return _document(values, f"Connect {values['client_name']}?", body)


def _tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """The names of some tools; of many, first those that change something."""
    if not tools:
        return ""
    shown = tools
    if len(tools) > MAX_TOOLS:
        shown = sorted(tools, key=lambda one: not one["is_destructive"])[:MAX_TOOLS]
    named = ", ".join(
        escape(one["title"]) + (" (changes or deletes data)" if one["is_destructive"] else "")
        for one in shown
    )
    more = f", and {len(tools) - MAX_TOOLS} more" if len(tools) > MAX_TOOLS else ""
    return f'<br><span class="note">{named}{more}</span>'


def _redirect(values: Mapping[str, Any]) -> str:
    url = escape(values["url"])
    # Not a redirect: the form-action of a host's Content-Security-Policy stops those (Chromium).
    head = f'<meta http-equiv="refresh" content="0;url={url}">' if values["goes_back"] else ""
    body = (
        f"<h1>{escape(values['message'])}</h1>"
        f'<p><a href="{url}">Go back to {escape(values["client_name"])}</a></p>'
        '<p class="note">You can close this window if nothing happens.</p>'
    )
    return _document(values, values["message"], body, head)


def _connected(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<li><strong>{escape(one['client_name'])}</strong> "
        f"({escape(one['client_host'] or 'unverified')})"
        + (f" with <code>{escape(one['other_server'])}</code>" if one["other_server"] else "")
        + "<br>"
        f'<span class="note">connected {escape(one["created"])}, last used '
        f"{escape(one['used'])}"
        + (f"; may: {escape(', '.join(one['scopes']))}" if one["scopes"] else "")
        + "</span>"
        f'<form method="post" action="{escape(values["action"])}">'
        f'<input type="hidden" name="form" value="{escape(one["form"])}">'
        f'<button aria-label="Disconnect {escape(one["client_name"])}">Disconnect</button>'
        "</form></li>"
        for one in values["connections"]
    )
    body = (
        f"<h1>Connected assistants</h1><p>You are signed in as "
        f"<strong>{escape(values['person'])}</strong>.</p>"
        + (f"<ul>{rows}</ul>" if rows else "<p>No assistant is connected to your account.</p>")
    )
    return _document(values, "Connected assistants", body)


def _error(values: Mapping[str, Any]) -> str:
    return _document(
        values,
        "This does not work",
        f"<h1>This does not work</h1><p>{escape(values['message'])}</p>",
    )


BUILT_IN: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "consent.html": _consent,
    "redirect.html": _redirect,
    "connected.html": _connected,
    "error.html": _error,
}
"""The built-in pages, by the names of the templates that a host may have in their place."""
