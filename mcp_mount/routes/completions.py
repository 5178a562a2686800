"""CompletionsRouter: prompts and argument completion over MCP, chat models over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from typing_extensions import Unpack

from mcp_mount.backends.models.chat import DONE, ChatCompletion, ChatModel, ChatRequest, pieces
from mcp_mount.routes.errors import openai_error
from mcp_mount.routes.gate import gate
from mcp_mount.routes.http_calls import HTTPCall, LimitedRoute, failed
from mcp_mount.routes.options import NamedRouterOptions
from mcp_mount.routes.router import MCPRouter
from mcp_mount.schemas.functions import DefinitionError, describe, name_of
from mcp_mount.transports.lasting import keep
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAX_PIECES: Final = 64
"""How many pieces of an answer may wait for a slow client."""

F = TypeVar("F", bound=Callable[..., Any])


class CompletionsRouter(MCPRouter):
    """LLM calls: `@router.prompt` and `@router.completion` for MCP, `@router.chat` for HTTP.

    A chat model is a Python function. It answers `POST /v1/chat/completions` in the form that
    OpenAI clients speak, whole or streamed; `GET /v1/models` lists the models. A request that
    names no model gets the first one. Arguments are those of FastAPI's APIRouter.
    """

    def __init__(self, **options: Unpack[NamedRouterOptions]) -> None:
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
            route_class_override=LimitedRoute,
        )

    def chat(self, model: str | F | None = None) -> Any:
        """Register a function as a chat model.

        It takes a `ChatRequest` and returns text, or an iterator of pieces of text; it may be a
        coroutine function.

        Args:
            model: The name of the model; by default that of the function.

        Raises:
            DefinitionError: If the name is taken.
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

    async def complete_chat(self, wanted: ChatRequest, request: Request) -> Response:
        """Answer a conversation, within all that is declared around the router and the server."""
        model = self._model(wanted.model)
        if model is None:
            known = ", ".join(self.models) or "none"
            return openai_error(
                404, "model_not_found", f"Unknown model {wanted.model!r}; there is: {known}"
            )
        completion = ChatCompletion(model.name)
        call = HTTPCall(request, "chat/completions", model.name, self.registry)
        arguments = wanted.model_dump(exclude_unset=True)
        answering = _Answering(model, wanted)
        running = keep(asyncio.create_task(call.function(answering.run, arguments)))
        if wanted.stream:
            # A call that is refused has its own status: the response begins with the first piece.
            await asyncio.wait([running, answering.begun], return_when=asyncio.FIRST_COMPLETED)
            if not running.done() or running.exception() is None:
                events = _events(completion, answering, running)
                return StreamingResponse(events, media_type="text/event-stream")
        try:
            text = await running
        except Exception as error:
            return failed(error, f"The model {model.name!r}")
        return Response(encode(completion.whole(text)), media_type="application/json")

    def _model(self, name: str | None) -> ChatModel | None:
        if name is None:
            return next(iter(self.models.values()), None)
        return self.models.get(name)


class _Answering:
    """A model that answers, and the pieces of its answer that have come.

    Attributes:
        begun: Done when there is a piece. The model waits for a client that reads slowly.
    """

    def __init__(self, model: ChatModel, request: ChatRequest) -> None:
        self._model = model
        self._request = request
        self.pieces: asyncio.Queue[str] = asyncio.Queue(_MAX_PIECES)
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> str:
        """The whole answer."""
        if self._model.is_async:
            answer = await self._model.function(self._request)
        else:
            answer = await run_in_threadpool(self._model.function, self._request)
        whole: list[str] = []
        async for piece in pieces(answer):
            whole.append(piece)
            if self._request.stream:
                await self.pieces.put(piece)
                if not self.begun.done():
                    self.begun.set_result(None)
        return "".join(whole)


async def _events(
    completion: ChatCompletion, answering: _Answering, running: asyncio.Task[Any]
) -> AsyncIterator[bytes]:
    try:
        while True:
            with suppress(asyncio.QueueEmpty):
                yield completion.piece(answering.pieces.get_nowait())
                continue
            if running.done():
                break
            getting = asyncio.ensure_future(answering.pieces.get())
            await asyncio.wait([running, getting], return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                yield completion.piece(getting.result())
            else:
                getting.cancel()
        text = await running
        if not answering.begun.done():
            # It was kept from an earlier call.
            yield completion.piece(text)
        yield completion.piece(None)
    except Exception:
        logger.exception("Chat model %r failed", completion.model)
        yield b'data: {"error":{"message":"The model failed","type":"model_failed"}}\n\n'
    finally:
        cancel(running)
    yield DONE
