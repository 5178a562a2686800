"""What contexts of the official SDK and FastMCP have, and what it is here (docs/porting.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mcp_mount.context import _Call

CONTEXT: Final[Mapping[str, str]] = {
    "fastmcp": "the server itself, by its own name",
    "mcp_server": "the server itself, by its own name",
    "client_id": "ctx.caller, or ctx.access_token.client_id",
    "session_id": "ctx.caller: sessions keep no state of yours, and 2026-07-28 has none",
    "get_state": "your own store, by ctx.caller: a server may have several processes",
    "set_state": "your own store, by ctx.caller: a server may have several processes",
    "close_sse_stream": "ctx.close_stream(retry=...)",
    "notify_tools_changed": "server.notify.tools_list_changed()",
    "notify_prompts_changed": "server.notify.prompts_list_changed()",
    "notify_resources_changed": "server.notify.resources_list_changed()",
    "notify_resource_updated": "server.notify.resource_updated(uri)",
    "send_notification": "server.notify",
    "input_responses": "await ctx.elicit(...), which has the answer when the handler runs again",
    "request_state": "await ctx.elicit(...), which has the answer when the handler runs again",
    "list_tools": "server.registry.tools",
}
"""Members of their contexts."""

SESSION: Final[Mapping[str, str]] = {
    "create_message": "ctx.sample(...)",
    "elicit": "ctx.elicit(...)",
    "elicit_form": "ctx.elicit(...)",
    "elicit_url": "ctx.elicit_url(...)",
    "list_roots": "ctx.list_roots()",
    "send_log_message": "ctx.log(level, data), ctx.info(data), ...",
    "send_progress_notification": "ctx.report_progress(progress, total, message)",
    "send_tool_list_changed": "server.notify.tools_list_changed()",
    "send_prompt_list_changed": "server.notify.prompts_list_changed()",
    "send_resource_list_changed": "server.notify.resources_list_changed()",
    "send_resource_updated": "server.notify.resource_updated(uri)",
    "client_params": "ctx.client_info and ctx.client_capabilities",
    "client_capabilities": "ctx.client_capabilities",
    "check_client_capability": "ctx.client_capabilities",
    "send_ping": "nothing: the transport looks after connections",
}
"""Members of the official SDK's `ctx.session`."""


def missing(owner: object, name: str, known: Mapping[str, str], called: str) -> AttributeError:
    """The error for a member that an object does not have.

    Args:
        owner: The object.
        name: Of the member.
        known: What other libraries have by such names, and what that is here.
        called: How the object is called in code.
    """
    if name in known:
        return AttributeError(f"{called}.{name} is {known[name]} here (docs/porting.md)")
    return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")


class Session:
    """What stands for the official SDK's `ctx.session`: it names what each member is here."""

    def __getattr__(self, name: str) -> Any:
        raise missing(self, name, SESSION, "ctx.session")


class RequestContext:
    """The official SDK's `ctx.request_context`, as far as there is something to tell."""

    def __init__(self, context: _Call[Any]) -> None:
        self._context = context

    @property
    def lifespan_context(self) -> Any:
        """What the server's lifespan has yielded: `ctx.lifespan`."""
        return self._context.lifespan

    @property
    def request(self) -> Any:
        """The host framework's own request: `ctx.request`."""
        return self._context.request

    @property
    def request_id(self) -> Any:
        """`ctx.request_id`."""
        return self._context.request_id

    @property
    def meta(self) -> Mapping[str, Any]:
        """`ctx.meta`."""
        return self._context.meta

    @property
    def session(self) -> Session:
        """`ctx.session`."""
        return Session()
