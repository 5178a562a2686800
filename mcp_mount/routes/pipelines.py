"""Pipelines: tools that call other tools, one with what the one before it returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from mcp_mount.context.context import Context, SyncContext
from mcp_mount.features import DefinitionError, Registry, Tool
from mcp_mount.schemas.arguments import ContextParameter, HandlerArguments

PipelineTool: TypeAlias = str | Callable[..., Any]
"""A tool that is registered already, by its name or as its function."""

Stage: TypeAlias = PipelineTool | tuple[PipelineTool, Callable[[Any], Mapping[str, Any]]]
"""A tool, or a tool with what makes its arguments of the value before it."""


class _Passed:
    """The arguments of the first tool, which validates them itself."""

    request: str | None = None

    def __init__(self, first: Tool, *, is_async: bool) -> None:
        kind: type[Context] | type[SyncContext] = Context if is_async else SyncContext
        self.context: ContextParameter | None = ("ctx", kind)
        self.schema = first.input_schema

    def validate(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"arguments": dict(arguments)}


class _Stage:
    """One tool of a pipeline."""

    def __init__(self, registry: Registry, stage: Stage) -> None:
        self._adapt: Callable[[Any], Mapping[str, Any]] | None = None
        if isinstance(stage, tuple):
            stage, self._adapt = stage
        self.tool = _found(registry, stage)
        schema = self.tool.arguments.schema
        self._names = set(schema.get("properties", ()))
        self._required = list(schema.get("required", ()))

    def arguments(self, value: Any) -> Mapping[str, Any]:
        """The arguments for the value that came before.

        An object gives them by its members; any other value is the one that is required.
        """
        if self._adapt is not None:
            return self._adapt(value)
        if isinstance(value, dict) and set(self._required) <= set(value) <= self._names:
            return value
        if len(self._required) == 1:
            return {self._required[0]: value}
        if isinstance(value, dict):
            return {key: one for key, one in value.items() if key in self._names}
        raise TypeError(f"{self.tool.name} takes no single value: give the pipeline what makes one")


def pipeline_of(
    registry: Registry, stages: Sequence[Stage]
) -> tuple[Callable[..., Any], HandlerArguments, Any]:
    """The handler of a pipeline; a coroutine function if one of its tools is.

    Args:
        registry: Has the tools.
        stages: As those of `HandlerDecorators.pipeline`.

    Returns:
        The handler, its arguments, and the type of its value; False for a value without a type.

    Raises:
        DefinitionError: If a tool is not registered, or there are fewer than two.
    """
    if len(stages) < 2:
        raise DefinitionError("a pipeline has two tools or more")
    line = [_Stage(registry, one) for one in stages]
    is_async = any(one.tool.is_async for one in line)

    async def run_async(ctx: Context, arguments: Mapping[str, Any]) -> Any:
        value = await ctx.call_tool(line[0].tool.name, arguments)
        for stage in line[1:]:
            value = await ctx.call_tool(stage.tool.name, stage.arguments(value))
        return value

    def run(ctx: SyncContext, arguments: Mapping[str, Any]) -> Any:
        value = ctx.call_tool(line[0].tool.name, arguments)
        for stage in line[1:]:
            value = ctx.call_tool(stage.tool.name, stage.arguments(value))
        return value

    returned = line[-1].tool.output.type
    return (
        run_async if is_async else run,
        _Passed(line[0].tool, is_async=is_async),
        False if returned is None else returned,
    )


def _found(registry: Registry, tool: PipelineTool) -> Tool:
    if isinstance(tool, str):
        known = registry.tools.get(tool)
    else:
        every = registry.tools.values()
        known = next((one for one in every if inspect.unwrap(one.function) is tool), None)
    if known is None:
        raise DefinitionError(f"{tool!r} is no tool that is registered before its pipeline")
    return known
