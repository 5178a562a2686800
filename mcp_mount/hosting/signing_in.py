"""What a `SignIn` is told of the server that it is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from mcp_mount.auth.authorization.options import ScopeTool
from mcp_mount.auth.authorization.sign_in import SignIn, Site
from mcp_mount.auth.verifiers import Verifier
from mcp_mount.features.registry import Registry
from mcp_mount.hosting.host import Host
from mcp_mount.protocol import Protocol as ProtocolCore
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.rules import scopes_of


class SiteParts(Protocol):
    """What is needed of the parts of a server."""

    mcp_path: str
    is_attached: bool
    is_bare: bool
    protocol: ProtocolCore
    registry: Registry
    host: Host

    @property
    def store(self) -> Any: ...

    def secret_keys(self) -> Sequence[str | bytes]: ...


def with_sign_in(
    auth: Sequence[Verifier], core: SiteParts
) -> tuple[Sequence[Verifier], SignIn | None]:
    """The verifiers of a server, and the `SignIn` among them, which serves that server.

    Args:
        auth: What the user gave.
        core: The parts of the server.

    Raises:
        DefinitionError: For two of them.
    """
    found = [one for one in auth if isinstance(one, SignIn)]
    if len(found) > 1:
        raise DefinitionError("auth= has two SignIn: a server has one")
    for given in found:
        own = given.serving(
            Site(
                keys=core.secret_keys,
                name=lambda: core.protocol.settings.name,
                title=lambda: core.protocol.settings.display_name or core.protocol.settings.name,
                accounts=lambda: core.host.accounts(),
                tools=lambda scope: list(_tools(core, scope)),
                tell=lambda event: core.host.on_sign_in_event(event),
                limiter=lambda: core.store.limits("fixed-window").limiter,
                has_origin=lambda path: (
                    core.host.serves_issuer(path)
                    if core.is_attached
                    else path == core.mcp_path and not core.is_bare
                ),
            )
        )
        return [own if one is given else one for one in auth], own
    return auth, None


def _tools(core: SiteParts, scope: str) -> Iterator[ScopeTool]:
    """The tools that a scope opens."""
    for tool in core.registry.tools.values():
        if scope in scopes_of(tool.rules):
            hints = tool.members.get("annotations") or {}
            title = tool.members.get("title") or hints.get("title") or tool.name
            # The specification's defaults: a tool that says nothing may write, and may destroy.
            reads = hints.get("readOnlyHint", False)
            yield ScopeTool(title, not reads and hints.get("destructiveHint", True))
