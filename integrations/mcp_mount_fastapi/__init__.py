"""Mount an MCP server in a FastAPI application: `mount(api, "/mcp", server)`.

`expose(api, server, tags=["orders"])` makes tools of endpoints that it already has.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcp_mount_starlette import MCPMount, mount

if TYPE_CHECKING:
    from mcp_mount.openapi.adding import Exposed
    from mcp_mount.openapi.headers import FORWARDED
    from mcp_mount_fastapi.exposing import as_tool, expose

_WHEN_ASKED: Final = {
    "Exposed": "mcp_mount.openapi.adding",
    "FORWARDED": "mcp_mount.openapi.headers",
    "as_tool": "mcp_mount_fastapi.exposing",
    "expose": "mcp_mount_fastapi.exposing",
}
"""Names that an application does without if it mounts only, as in `mcp_mount`."""

__all__ = ["FORWARDED", "Exposed", "MCPMount", "as_tool", "expose", "mount"]


if not TYPE_CHECKING:
    # Type checkers would take any name for one that is there.
    def __getattr__(name: str) -> Any:
        module = _WHEN_ASKED.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(module), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
