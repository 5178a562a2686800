"""CompletionsRouter: prompts and argument completion over MCP, chat models over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from typing_extensions import Unpack

from mcp_mount.backends.models.adapters.embeddings import FunctionEmbedding
from mcp_mount.backends.models.adapters.functions import FunctionModel
from mcp_mount.backends.models.given import AgentObject, RunnableObject, model_of
from mcp_mount.backends.models.standin import NAME as STAND_IN
from mcp_mount.backends.models.standin import stand_in
from mcp_mount.backends.models.tools import Tools, ToolUser
from mcp_mount.features.models import RegisteredModel
from mcp_mount.features.prices import Price, listed_price
from mcp_mount.llm.models import EmbeddingModel, Model
from mcp_mount.policies.chain import policies_of
from mcp_mount.policies.options import split
from mcp_mount.routes.chat_tool import chat
from mcp_mount.routes.openai.paths import add_routes
from mcp_mount.routes.options import EmbeddingOptions, ModelOptions, NamedRouterOptions
from mcp_mount.routes.permissions import rules_of
from mcp_mount.routes.router import MCPRouter, add_asking_tool
from mcp_mount.schemas.functions import DefinitionError, name_of
from mcp_mount.schemas.names import list_of_names, refuse_unknown

F = TypeVar("F", bound=Callable[..., Any])

_STAND_IN: Final = "No language model: it repeats what it is told, for development and tests"


class CompletionsRouter(MCPRouter):
    """LLM calls: `@router.prompt` and `@router.completion` for MCP, chat models over HTTP.

    In the form that OpenAI's clients speak, `/v1/chat/completions`, `/v1/responses` and
    `/v1/completions` answer, whole or streamed; `/v1/embeddings` represents texts by vectors, and
    `/v1/models` lists the models that the caller may ask. Where several such routers are
    included in a server, each answers for the models of all. A request that names no model gets the
    first one. As long as a server has no model, one answers that needs none, for development:
    "stand-in".

    Args:
        chat_tool: Whether MCP clients have a tool `chat`, which asks a model for the caller.
        options: Policies of all models, prompts and tools registered here; arguments of FastAPI's
            APIRouter.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
    """

    def __init__(self, *, chat_tool: bool = False, **options: Unpack[NamedRouterOptions]) -> None:
        super().__init__(**options)
        self.registry.add_stand_in(
            RegisteredModel(
                STAND_IN, FunctionModel(stand_in), description=_STAND_IN, price=Price(0, 0)
            )
        )
        if chat_tool:
            add_asking_tool(self, chat, "chat", annotations={"openWorldHint": True})
        add_routes(self)

    @overload
    def chat(self, name: F, /) -> F: ...
    @overload
    def chat(
        self, name: str | None = None, **options: Unpack[ModelOptions]
    ) -> Callable[[F], F]: ...
    def chat(self, name: Any = None, **options: Unpack[ModelOptions]) -> Any:
        """Register a function as a chat model.

        It takes a `ChatRequest`, and a `Context` (a `SyncContext` in a `def`) if it wants one. It
        returns text, a `ChatCompletion`, or an iterator of pieces: text, `ToolCall`, `Reasoning`,
        `Refusal`, `Usage` and `Finish`. It may be a coroutine function, and a generator of either
        kind.

        Args:
            name: The name of the model; by default that of the function.
            options: What is declared of the model, and its policies.

        Raises:
            DefinitionError: For a function that cannot be a model, a name that is taken, an option
                that does not exist or cannot have its value.
        """
        if callable(name):
            self._add_model(name_of(name), FunctionModel(name), options)
            return name

        def register(function: F) -> F:
            own = name or name_of(function)
            self._add_model(own, FunctionModel(function), options)
            return function

        return register

    @overload
    def embedding(self, name: F, /) -> F: ...
    @overload
    def embedding(
        self, name: str | None = None, **options: Unpack[EmbeddingOptions]
    ) -> Callable[[F], F]: ...
    def embedding(self, name: Any = None, **options: Unpack[EmbeddingOptions]) -> Any:
        """Register a function that represents texts by vectors.

        It takes a list of texts, and `dimensions` if it has a parameter of that name. It returns as
        many vectors, lists of numbers or NumPy arrays, or `Embeddings`; it may be a coroutine
        function.

        Args:
            name: The name of the model; by default that of the function.
            options: What is declared of the model, and its policies.

        Raises:
            DefinitionError: As `chat`.
        """
        known = EmbeddingOptions.__annotations__
        refuse_unknown("an embedding model has no option", options, known)
        if callable(name):
            self._add_model(name_of(name), FunctionEmbedding(name), options)
            return name

        def register(function: F) -> F:
            self._add_model(name or name_of(function), FunctionEmbedding(function), options)
            return function

        return register

    def add_model(
        self,
        name: str,
        model: Model | EmbeddingModel | AgentObject | RunnableObject | Callable[..., Any] | str,
        **options: Unpack[ModelOptions],
    ) -> None:
        """Register a model.

        Args:
            name: Its name.
            model: What answers: a `Model` or an `EmbeddingModel`, a function as for `chat`, the
                name of another model, an agent of pydantic-ai, or a chat model, chain or agent of
                LangChain.
            options: As those of `chat`.

        Raises:
            DefinitionError: As `chat`.
        """
        self._add_model(name, model_of(model), options)

    def _add_model(self, name: str, given: Model | EmbeddingModel, options: Any) -> None:
        refuse_unknown("a chat model has no option", options, ModelOptions.__annotations__)
        declared, rest = split(options)
        chat: Any = given if hasattr(given, "answer") else None
        embedding: Any = given if hasattr(given, "embed") else None
        if not name or not isinstance(name, str):
            raise DefinitionError(f"a chat model needs a name, not {name!r}")
        aliases = list_of_names("aliases", rest.get("aliases", ()))
        tools = rest.get("tools")
        if tools is not None and not isinstance(tools, Tools) and tools != "auto":
            raise DefinitionError(f'tools is Tools(…) or "auto", not {tools!r}')
        if tools is not None and chat is None:
            raise DefinitionError(
                f"the model {name!r} answers no conversation, so it has no tools="
            )
        price = rest.get("price")
        if price is not None and not isinstance(price, Price):
            raise DefinitionError(f"price is a Price(input=…, output=…), not {price!r}")
        if price is None:
            price = listed_price(name, given)
        if tools is not None:
            chat = ToolUser(chat, tools if isinstance(tools, Tools) else Tools())
        entry = RegisteredModel(
            name,
            chat,
            embedding,
            description=rest.get("description"),
            price=price,
            rules=rules_of(declared),
            policies=policies_of(f"model:{name}", declared),
        )
        self.registry.add_model(entry, aliases)
