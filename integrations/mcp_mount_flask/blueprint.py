"""A blueprint that carries tools: where it is registered, the application's server has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from flask import Blueprint, Flask
from flask.blueprints import BlueprintSetupState

from mcp_mount.features.names import refuse_unknown_options, several_names
from mcp_mount.policies.options import PolicyOptions, split
from mcp_mount.routes.router import Registers, registry_of
from mcp_mount.transports.paths import clean_prefix
from mcp_mount_flask.mounts import join_mounts


class MCPBlueprint(Registers, Blueprint):
    """A Flask blueprint with tools, resources and prompts of its own.

    What `PolicyOptions` has may be declared here for all of them. mounts: the paths of the servers
    that get them, by default all of the application, whether mounted before or after the blueprint
    is registered. Other arguments are those of `flask.Blueprint`. The blueprint's before_request
    functions stand before its views, not before its tools.
    """

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        mounts: str | Collection[str] = (),
        **options: Any,
    ) -> None:
        refuse_unknown_options(self, options, also=PolicyOptions.__annotations__)
        declared, options = split(options)
        super().__init__(name, import_name, **options)
        self.registry = registry_of("blueprint", name, declared)
        self._mounts = [clean_prefix(path) for path in several_names(mounts)]
        self.record(self._join)

    def _join(self, state: BlueprintSetupState) -> None:
        join_mounts(cast("Flask", state.app), self.registry, self._mounts)
