"""Requests to authorization servers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from mcp_mount.policies.extras import requires

_TIMEOUT: Final = 5.0
_MOST_BYTES: Final = 1024 * 1024


class Unreachable(Exception):
    """An authorization server that does not answer as it should."""


@cache
def _client() -> Any:
    with requires("auth", "an authorization server"):
        import httpx2
    return httpx2.Client(timeout=_TIMEOUT, follow_redirects=False)


def get_json(url: str) -> dict[str, Any]:
    """The JSON object at a URL. Raises Unreachable."""
    return _object(url, "GET")


def post_form(url: str, form: Mapping[str, str], auth: tuple[str, str] | None) -> dict[str, Any]:
    """The JSON object that a form is answered with. auth: for HTTP Basic. Raises Unreachable."""
    return _object(url, "POST", data=dict(form), auth=auth)


def _object(url: str, method: str, **options: Any) -> dict[str, Any]:
    import httpx2

    headers = {"accept": "application/json"}
    try:
        response = _client().request(method, url, headers=headers, **options)
        if response.status_code != 200:
            raise Unreachable(f"{url} answers {response.status_code}")
        if len(response.content) > _MOST_BYTES:
            raise Unreachable(f"{url} answers {len(response.content)} bytes")
        value = response.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise Unreachable(f"{url}: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise Unreachable(f"{url} answers no JSON object")
    return value
