"""CompletionsRouter: prompts and argument completion over MCP, chat models over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from fastapi import Depends, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from mcp_mount.features.functions import DefinitionError, describe, name_of
from mcp_mount.llm.chat import DONE, ChatModel, ChatRequest, Completion, pieces
from mcp_mount.protocol.encoding import encode
from mcp_mount.protocol.logs import own_logger
from mcp_mount.routes.errors import openai_error
from mcp_mount.routes.gate import gate
from mcp_mount.routes.router import MCPRouter

logger = own_logger("mcp_mount")

F = TypeVar("F", bound=Callable[..., Any])


class CompletionsRouter(MCPRouter):
    """LLM calls: `@router.prompt` and `@router.completion` for MCP, `@router.chat` for HTTP.

    A chat model is a Python function. It answers `POST /v1/chat/completions` in the form that
    OpenAI clients speak, whole or streamed; `GET /v1/models` lists the models. A request that
    names no model gets the first one. Arguments are those of FastAPI's APIRouter.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.models: dict[str, ChatModel] = {}
        self.add_api_route(
            "/v1/models",
            self.list_models,
            methods=["GET"],
            dependencies=[Depends(gate)],
            tags=["chat"],
            summary="List the chat models",
        )
        self.add_api_route(
            "/v1/chat/completions",
            self.complete_chat,
            methods=["POST"],
            dependencies=[Depends(gate)],
            tags=["chat"],
            summary="Answer a conversation",
            response_model=None,
        )

    def chat(self, model: str | F | None = None) -> Any:
        """Register a function as a chat model, under its own name or `model`.

        It takes a `ChatRequest` and returns text, or an iterator of pieces of text; it may be a
        coroutine function. Raises DefinitionError for a name that is taken.
        """

        def register(function: F, name: str) -> F:
            known = self.models.get(name)
            if known is not None:
                raise DefinitionError(
                    f"{describe(function)}: the chat model {name!r} is already defined by "
                    f"{describe(known.function)}"
                )
            self.models[name] = ChatModel(name, function)
            return function

        if callable(model):
            return register(model, name_of(model))
        return lambda function: register(function, model or name_of(function))

    async def list_models(self) -> dict[str, Any]:
        return {"object": "list", "data": [model.card() for model in self.models.values()]}

    async def complete_chat(self, request: ChatRequest) -> Response:
        model = self._model(request.model)
        if model is None:
            known = ", ".join(self.models) or "none"
            return openai_error(
                404, "model_not_found", f"Unknown model {request.model!r}; there is: {known}"
            )
        completion = Completion(model.name)
        try:
            if model.is_async:
                answer = await model.function(request)
            else:
                answer = await run_in_threadpool(model.function, request)
            if request.stream:
                events = _events(completion, answer)
                return StreamingResponse(events, media_type="text/event-stream")
            text = "".join([piece async for piece in pieces(answer)])
        except Exception:
            logger.exception("Chat model %r failed", model.name)
            return openai_error(500, "model_failed", f"The model {model.name!r} failed")
        return Response(encode(completion.whole(text)), media_type="application/json")

    def _model(self, name: str | None) -> ChatModel | None:
        if name is None:
            return next(iter(self.models.values()), None)
        return self.models.get(name)


async def _events(completion: Completion, answer: Any) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces(answer):
            yield completion.piece(piece)
        yield completion.piece(None)
    except Exception:
        logger.exception("Chat model %r failed", completion.model)
        yield b'data: {"error":{"message":"The model failed","type":"model_failed"}}\n\n'
    yield DONE
