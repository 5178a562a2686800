"""Blueprints with tools: the servers of the application that registers one get its tools."""

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
from mcp_mount.policies.options import RouterPolicies, split, without_checks
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

    The before_request functions of the blueprint, and of the blueprints that it is nested in, run
    before its tools, resources and prompts, as they run before its views. A caller whom one of them
    refuses, with `abort` or a response, neither sees nor uses them.

    Args:
        name: The name of the blueprint.
        import_name: As for `flask.Blueprint`.
        mounts: The paths of the servers that get the tools. By default all servers of the
            application get them, whether they are mounted before or after the blueprint is
            registered.
        options: Policies for all its handlers (see `PolicyOptions`), and the arguments of
            `flask.Blueprint`.

    Raises:
        DefinitionError: If an option does not exist.
    """

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        mounts: str | Collection[str] = (),
        **options: Unpack[BlueprintOptions],
    ) -> None:
        refuse_unknown_options(self, without_checks(options), also=RouterPolicies.__annotations__)
        declared, flask = split(options)
        super().__init__(name, import_name, **flask)
        self.registry = registry_of("blueprint", name, declared)
        self._mounts = [clean_prefix(path) for path in several_names("mounts", mounts)]
        self.record(self._join)

    def _join(self, state: BlueprintSetupState) -> None:
        app = cast("Flask", state.app)
        name = f"{state.name_prefix}.{state.name}".lstrip(".")
        entry = _EntryCheck(app, tuple(_with_parents(name)))
        # Without functions to run, the handlers need no rule, and lists no check of it.
        if not entry.has_functions:
            join_mounts(app, self.registry, self._mounts)
            return
        _end_entered(app)
        guarded = Registry(rules=(entry,), policies=policies_of(f"blueprint:{name}", {}))
        guarded.include(self.registry)
        join_mounts(app, guarded, self._mounts)


def _with_parents(name: str) -> Iterator[str]:
    """Yield the full names of a blueprint and of those that it is nested in, outermost first."""
    words = name.split(".")
    for number in range(1, len(words) + 1):
        yield ".".join(words[:number])


@dataclass(frozen=True, slots=True)
class _EntryCheck:
    """A rule: the before_request functions of the blueprints must let the caller in.

    They run once per request, however many tools the request lists or calls.
    """

    app: Flask
    blueprints: tuple[str, ...]

    @property
    def guards(self) -> bool:
        """Whether there are before_request functions, which may refuse the caller."""
        return any(self.app.before_request_funcs.get(name) for name in self.blueprints)

    @property
    def has_functions(self) -> bool:
        """Whether there are functions to run: before_request functions, or teardown functions,
        which run for each request that has entered the blueprint.
        """
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
        # Refused until proven otherwise, also if a function raises: none runs twice in a request.
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
    """Return which blueprints the current request has entered, outermost first, and whether their
    before_request functions let it in. Nested blueprints share the entry of the outer one.
    """
    entered: dict[str, bool] = request.environ.setdefault("mcp_mount.entered", {})
    return entered


def _end_entered(app: Flask) -> None:
    """Run the teardown functions of the blueprints that a request has entered, innermost first.

    This is registered once per application, because an outer blueprint must end after all
    blueprints that are nested in it.
    """
    if _ENDS in app.extensions:
        return
    app.extensions[_ENDS] = True

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        for name in reversed(_entered()):
            for function in reversed(app.teardown_request_funcs.get(name, ())):
                app.ensure_sync(function)(error)
