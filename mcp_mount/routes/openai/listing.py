"""`/v1/models`: the models that a caller may ask."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from mcp_mount.features import Registry
from mcp_mount.routes.errors import openai_error
from mcp_mount.routes.gate import incoming_of, known
from mcp_mount.routes.openai.calls import opened
from mcp_mount.routes.parts import registry_of


class ModelList:
    """Lists of models.

    Args:
        registry: That of the router, for a router that no server includes.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def list_models(self, request: Request) -> Any:
        """List the models that the caller may ask."""
        return {"object": "list", "data": await self._cards(request)}

    async def show_model(self, name: str, request: Request) -> Any:
        """Describe one model."""
        for card in await self._cards(request):
            if card["id"] == name:
                return card
        return openai_error(404, "model_not_found", f"Unknown model {name!r}", param="model")

    async def _cards(self, request: Request) -> list[dict[str, Any]]:
        incoming = incoming_of(await known(request))
        models = registry_of(request, self._registry).offered_models

        def cards() -> list[dict[str, Any]]:
            return [one.card(name) for name, one in models.items() if incoming.permits(one.rules)]

        return await opened(request, incoming, cards)
