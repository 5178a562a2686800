"""The paths of OpenAI's interface to models, and what answers there."""

from __future__ import annotations

from fastapi import Depends

from mcp_mount.routes.gate import gate
from mcp_mount.routes.openai.chat import ChatEndpoint
from mcp_mount.routes.openai.direct import DirectChats
from mcp_mount.routes.openai.embeddings import EmbeddingsEndpoint
from mcp_mount.routes.openai.listing import ModelList
from mcp_mount.routes.openai.responses import ResponsesEndpoint
from mcp_mount.routes.openai.route import route_class_of
from mcp_mount.routes.openai.text import TextEndpoint
from mcp_mount.routes.router import MCPRouter


def add_routes(router: MCPRouter) -> None:
    """Add the routes for models to a router."""
    registry = router.registry
    route_class = route_class_of(registry)
    direct_class = route_class_of(registry, DirectChats)
    listing = ModelList(registry)
    chat = ChatEndpoint(registry).answer
    responses = ResponsesEndpoint(registry).answer
    embeddings = EmbeddingsEndpoint(registry).answer
    for path, method, endpoint, summary in (
        ("/v1/models", "GET", listing.list_models, "List the models"),
        ("/v1/models/{name:path}", "GET", listing.show_model, "Describe a model"),
        ("/v1/chat/completions", "POST", chat, "Answer a conversation"),
        ("/v1/responses", "POST", responses, "Respond to a conversation"),
        ("/v1/completions", "POST", TextEndpoint(registry).answer, "Continue a text"),
        ("/v1/embeddings", "POST", embeddings, "Represent texts by vectors"),
    ):
        router.add_api_route(
            path,
            endpoint,
            methods=[method],
            dependencies=[Depends(gate)],
            tags=["models"],
            summary=summary,
            response_model=None,
            route_class_override=direct_class if endpoint is chat else route_class,
        )
