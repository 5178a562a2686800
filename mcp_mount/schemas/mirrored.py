"""Tool parameters that clients mirror into HTTP headers: `x-mcp-header` (2026-07-28).

The rules are those of server/tools ("x-mcp-header") and basic/transports/streamable-http ("Custom
Headers from Tool Parameters").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp_mount.protocol.stateless import decode_header
from mcp_mount.wire.errors import HEADER_MISMATCH, ProtocolError

_KEY: Final = "x-mcp-header"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRIMITIVES: Final = ("string", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class McpHeader:
    """Marks a parameter whose value clients send as the header `Mcp-Param-{name}`, too.

    For gateways that route by it: `region: Annotated[str, McpHeader("Region")]`. Not for secrets.
    """

    name: str

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        return {**schema, _KEY: self.name}


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One mirrored parameter: its header, in lower case, and its place in the arguments."""

    header: str
    path: tuple[str, ...]

    def check(self, headers: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
        """Compare a header with its argument.

        Args:
            headers: The headers of the request.
            arguments: The arguments of the call.

        Raises:
            ProtocolError: Header mismatch (-32020), if they do not agree.
        """
        value: Any = arguments
        for name in self.path:
            value = value.get(name) if isinstance(value, dict) else None
        header = headers.get(self.header)
        if value is None and header is None:
            return
        if header is None:
            raise ProtocolError(HEADER_MISMATCH, f"The {self.header} header is missing")
        if value is None or not _agree(decode_header(header), value):
            raise ProtocolError(
                HEADER_MISMATCH,
                f"The {self.header} header does not match the argument {'.'.join(self.path)}",
            )


def mirrored_parameters(schema: Mapping[str, Any]) -> Sequence[Mirrored]:
    """The mirrored parameters of an input schema (2026-07-28, server/tools, "x-mcp-header").

    Args:
        schema: The schema.

    Raises:
        ValueError: If clients would have to reject it: for a bad or repeated name, for a type that
            is not string, integer or boolean, for a parameter that is not reached through
            `properties`.
    """
    found = list(_walk(schema, ()))
    headers = [one.header for one in found]
    for header in headers:
        if headers.count(header) > 1:
            raise ValueError(f"two parameters are mirrored as {header}")
    if len(found) < _count(schema):
        raise ValueError(f"{_KEY} stands where properties alone do not lead to")
    return found


def _walk(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Mirrored]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    for name, field in properties.items():
        if not isinstance(field, Mapping):
            continue
        here = (*path, name)
        if _KEY in field:
            header, kind = field[_KEY], field.get("type")
            if not isinstance(header, str) or not _TOKEN.fullmatch(header):
                raise ValueError(f"{header!r} is no header name")
            if kind not in _PRIMITIVES:
                raise ValueError(
                    f"the mirrored parameter {'.'.join(here)} must be a string, an integer or a "
                    f"boolean, not {kind or 'a union'}"
                )
            yield Mirrored(f"mcp-param-{header.lower()}", here)
        yield from _walk(field, here)


def _count(value: Any) -> int:
    """How often the key stands anywhere in a schema."""
    if isinstance(value, Mapping):
        return (_KEY in value) + sum(map(_count, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_count, value))
    return 0


def _agree(header: str, value: Any) -> bool:
    if isinstance(value, bool):
        return header == ("true" if value else "false")
    if isinstance(value, int):
        return _number(header) == value
    return bool(header == value)


def _number(header: str) -> int | float | None:
    """The number in a header: integers are compared numerically, 42.0 is 42."""
    for kind in (int, float):
        try:
            return kind(header)
        except ValueError:
            continue
    return None
