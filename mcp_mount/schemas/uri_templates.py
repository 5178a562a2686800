"""URI templates (RFC 6570), read backwards: which values would have made a URI.

The operators that resources use: `{name}` for one segment, `{+path}` for any path, `{/path*}` for
segments with their slashes, `{?a,b}` for query parameters.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from mcp_mount.wire.uris import normal_template, normal_uri

_NAME: Final = "[A-Za-z_][A-Za-z0-9_]*"
_EXPRESSION: Final = re.compile(rf"\{{([+/?]?)({_NAME}(?:,{_NAME})*)(\*?)\}}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")


class UriTemplate:
    """A URI template (RFC 6570) and its variables.

    Attributes:
        template: The template; its literal parts have the form of `normal_uri`.

    Raises:
        ValueError: If it is not a template, or one of a kind that is not supported.
    """

    def __init__(self, template: str) -> None:
        if re.search("[{}]", _EXPRESSION.sub("", template)):
            raise ValueError("it has braces that are no expression of RFC 6570")
        template = self.template = normal_template(template)
        self.names: list[str] = []
        self._query: set[str] = set()
        pattern, position = "", 0
        for match in _EXPRESSION.finditer(template):
            operator, names, explode = match[1], match[2].split(","), match[3]
            pattern += re.escape(template[position : match.start()])
            position = match.end()
            if operator == "?":
                if position != len(template):
                    raise ValueError("{?...} must stand at the end")
                self._query |= set(names)
            elif len(names) > 1 or (explode and operator != "/"):
                raise ValueError(f"{match[0]} is not served: give each variable its own braces")
            elif operator == "+":
                pattern += f"(?P<{names[0]}>[^?#]+)"
            elif operator == "/":
                more = "(?:/[^/?#]+)*" if explode else ""
                pattern += f"/(?P<{names[0]}>[^/?#]+{more})"
            else:
                pattern += f"(?P<{names[0]}>[^/?#]+)"
            self.names += names
        rest = template[position:]
        if len(set(self.names)) != len(self.names):
            raise ValueError("a variable stands in it twice")
        self._pattern = re.compile(pattern + re.escape(rest))

    def match(self, uri: str) -> dict[str, str] | None:
        """The values of the variables in `uri`, decoded; None if it is not of this template.

        The URI may be written in any form, encoded or not.
        A value cannot leave its place: one with a control character, a backslash, a segment "."
        or "..", or (where one segment is meant) a slash in disguise, is no match.
        """
        uri = normal_uri(uri)
        path, _, query = uri.partition("?") if self._query else (uri, "", "")
        match = self._pattern.fullmatch(path)
        if match is None:
            return None
        values: dict[str, str] = {}
        for name, raw in match.groupdict().items():
            value = unquote(raw)
            segments = value.split("/")
            if _CONTROL.search(value) or {".", ".."} & set(segments):
                return None
            if len(segments) != raw.count("/") + 1 or segments[0] == "":
                return None
            values[name] = value
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name not in self._query or name in values:
                return None
            values[name] = value
        return values
