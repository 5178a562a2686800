"""What models of upstreams, for chat and for pictures, have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_mount.backends.models.upstreams.upstream import Upstream
from mcp_mount.llm.models import ModelTraits
from mcp_mount.schemas.values import filled, mapping


class UpstreamModel(ModelTraits):
    """A model of an upstream.

    Args:
        upstream: The upstream.
        model: The name of the model there.
        defaults: Options for requests that do not give them.

    Raises:
        DefinitionError: For a name that is empty, or options that are none.
    """

    is_async = True
    wants_context = False

    def __init__(
        self, upstream: Upstream, model: str, defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.address = upstream.address
        self.spends_key = upstream.has_key
        self._upstream = upstream
        self._model = filled("model", model)
        self._defaults = dict(mapping("defaults", defaults or {}))

    def __repr__(self) -> str:
        return f"{repr(self._upstream)[:-1]}, {self._model!r})"
