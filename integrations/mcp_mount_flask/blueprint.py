"""A blueprint that carries tools: where it is registered, the application's server has them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final, cast

from flask import Blueprint, Flask, has_request_context, request
from flask.blueprints import BlueprintSetupState
from typing_extensions import Unpack
from werkzeug.exceptions import HTTPException

from mcp_mount.features import Registry
from mcp_mount.policies.chain import policies_of
from mcp_mount.policies.options import PolicyOptions, RouterPolicies, split
from mcp_mount.protocol import Request as ProtocolRequest
from mcp_mount.routes.router import HandlerDecorators, registry_of
from mcp_mount.schemas.names import refuse_unknown_options, several_names
from mcp_mount.transports.paths import clean_prefix
from mcp_mount_flask.mounts import join_mounts

_ENDS: Final = "mcp_mount_ends_blueprints"


class BlueprintOptions(RouterPolicies, total=False):
    """Policies for all entries of a blueprint, and the arguments of `flask.Blueprint`."""

    static_folder: str | PathLike[str] | None
    static_url_path: str | None
    template_folder: str | PathLike[str] | None
    url_prefix: str | None
    subdomain: str | None
    url_defaults: dict[str, Any] | None
    root_path: str | None
    cli_group: str | None


class MCPBlueprint(HandlerDecorators, Blueprint):
    """A Flask blueprint with tools, resources and prompts of its own.

    Its before_request functions, and those of the blueprints that it is nested in, run before they
    are used, as before its views. A caller whom one of them turns away, by `abort` or by a response
    of its own, neither sees nor uses them.

    Args:
        name: The name of the blueprint.
        import_name: As for `flask.Blueprint`.
        mounts: The paths of the servers that get them, by default all of the application, whether
            mounted before or after the blueprint is registered.
        options: What `PolicyOptions` has, for all of them, and the arguments of `flask.Blueprint`.

    Raises:
        DefinitionError: For an option that means nothing.
    """

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        mounts: str | Collection[str] = (),
        **options: Unpack[BlueprintOptions],
    ) -> None:
        refuse_unknown_options(self, options, also=PolicyOptions.__annotations__)
        declared, flask = split(options)
        super().__init__(name, import_name, **flask)
        self.registry = registry_of("blueprint", name, declared)
        self._mounts = [clean_prefix(path) for path in several_names(mounts)]
        self.record(self._join)

    def _join(self, state: BlueprintSetupState) -> None:
        app = cast("Flask", state.app)
        name = f"{state.name_prefix}.{state.name}".lstrip(".")
        entry = _EntryCheck(app, tuple(_with_parents(name)))
        if not entry.has_functions:
            join_mounts(app, self.registry, self._mounts)
            return
        _end_entered(app)
        guarded = Registry(rules=(entry,), policies=policies_of(f"blueprint:{name}", {}))
        guarded.include(self.registry)
        join_mounts(app, guarded, self._mounts)


def _with_parents(name: str) -> Iterator[str]:
    """The full names of a blueprint and of those that it is nested in, the outermost first."""
    words = name.split(".")
    for number in range(1, len(words) + 1):
        yield ".".join(words[:number])


@dataclass(frozen=True, slots=True)
class _EntryCheck:
    """The rule that the before_request functions of blueprints let the caller in.

    They run once in a request, however many tools are listed or called by it.
    """

    app: Flask
    blueprints: tuple[str, ...]

    @property
    def guards(self) -> bool:
        """Whether there is anything that may refuse."""
        return any(self.app.before_request_funcs.get(name) for name in self.blueprints)

    @property
    def has_functions(self) -> bool:
        """Whether there is anything to run: teardown functions run where a request has entered."""
        return self.guards or any(
            self.app.teardown_request_funcs.get(name) for name in self.blueprints
        )

    def is_satisfied(self, incoming: ProtocolRequest) -> bool:
        if not has_request_context():
            raise RuntimeError(
                f"the before_request functions of {self.blueprints[-1]!r} need a request"
            )
        entered = _entered()
        fresh = [name for name in self.blueprints if name not in entered]
        # Refused, also where one raises: none is asked again in this request.
        entered.update(dict.fromkeys(fresh, False))
        for name in self.blueprints:
            if name in fresh:
                entered[name] = self._lets_in(name)
            if not entered[name]:
                return False
        return True

    def _lets_in(self, name: str) -> bool:
        functions = self.app.before_request_funcs.get(name, ())
        try:
            return all(self.app.ensure_sync(function)() is None for function in functions)
        except HTTPException:
            return False


def _entered() -> dict[str, bool]:
    """The blueprints that the current request has entered, outer ones first, and whether their
    before_request functions have let it in. Several blueprints share the one they are nested in."""
    entered: dict[str, bool] = request.environ.setdefault("mcp_mount.entered", {})
    return entered


def _end_entered(app: Flask) -> None:
    """Let the teardown functions of blueprints run that a request has entered, inner ones first.

    Once for an application, since a blueprint with several nested in it ends after all of them.
    """
    if _ENDS in app.extensions:
        return
    app.extensions[_ENDS] = True

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        for name in reversed(_entered()):
            for function in reversed(app.teardown_request_funcs.get(name, ())):
                app.ensure_sync(function)(error)
