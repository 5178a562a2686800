"""Requests to authorization servers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from mcp_mount.schemas.extras import requires

WHOLE_SECONDS: Final = 6.0
"""How long all requests for one answer may take together."""

_STEP_SECONDS: Final = 3.0
"""How long nothing may come, while connecting and while reading."""

_MAX_BYTES: Final = 1024 * 1024


class Unreachable(Exception):
    """An authorization server that does not answer as it should."""


@cache
def _client() -> Any:
    with requires("auth", "an authorization server"):
        import httpx2
    return httpx2.Client(timeout=_STEP_SECONDS, follow_redirects=False)


def deadline() -> float:
    """When an answer must be there that is asked for now, in seconds of the monotonic clock."""
    return time.monotonic() + WHOLE_SECONDS


def get_json(url: str, until: float) -> dict[str, Any]:
    """The JSON object at a URL.

    Args:
        url: The URL.
        until: When to give up, by `time.monotonic`.

    Raises:
        Unreachable: If there is no answer in time, or none with a JSON object.
    """
    return _object(url, "GET", until)


def post_form(
    url: str, form: Mapping[str, str], auth: tuple[str, str] | None, until: float
) -> dict[str, Any]:
    """The JSON object that a form is answered with.

    Args:
        url: The URL.
        form: The fields of the form.
        auth: User name and password for HTTP Basic (RFC 7617); None for none.
        until: When to give up, by `time.monotonic`.

    Raises:
        Unreachable: If there is no answer in time, or none with a JSON object.
    """
    return _object(url, "POST", until, data=dict(form), auth=auth)


def _object(url: str, method: str, until: float, **options: Any) -> dict[str, Any]:
    import httpx2

    # Nothing packed: a small document can be a large one when it is unpacked.
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    chunks: list[bytes] = []
    size = 0
    try:
        with _client().stream(method, url, headers=headers, **options) as response:
            if response.status_code != 200:
                raise Unreachable(f"{url} answers {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise Unreachable(f"{url} answers in an encoding that was not asked for")
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > _MAX_BYTES:
                    raise Unreachable(f"{url} answers more than {_MAX_BYTES} bytes")
                if time.monotonic() > until:
                    raise Unreachable(f"{url} takes more than {WHOLE_SECONDS:g} seconds")
                chunks.append(chunk)
        value = json.loads(b"".join(chunks), parse_constant=_refuse)
    except (httpx2.HTTPError, ValueError, RecursionError) as error:
        raise Unreachable(f"{url}: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise Unreachable(f"{url} answers no JSON object")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
