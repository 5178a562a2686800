"""Models behind the clients of providers: those of the packages openai and anthropic, or others
with the same methods. The packages are not imported here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mcp_mount.backends.models.upstreams.anthropic import DEFAULT_MAX_TOKENS, anthropic_reader
from mcp_mount.backends.models.upstreams.anthropic_requests import anthropic_body
from mcp_mount.backends.models.upstreams.failures import client_failure
from mcp_mount.backends.models.upstreams.links import fetches_links
from mcp_mount.backends.models.upstreams.openai import openai_body
from mcp_mount.backends.models.upstreams.openai_answers import OpenAIAnswerReader
from mcp_mount.backends.models.upstreams.options import CHAT_OPTIONS, PassedOptions
from mcp_mount.backends.models.upstreams.upstream_answers import (
    AnswerReader,
    ended,
    last_pieces,
    pieces_in,
)
from mcp_mount.llm.answers import ChatCompletion, Gathering
from mcp_mount.llm.models import Invocation, ModelTraits
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.values import filled, kind_of, mapping
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_SAID_APART: Final = ("messages", "max_tokens")
"""What anthropic's `create` has to have as arguments."""


class ClientModel(ModelTraits):
    """A model that a client object of the package openai or anthropic asks.

    A client without `async` blocks its thread, as a plain function does. Retries are those of the
    client (`max_retries`).

    Args:
        client: `openai.AsyncOpenAI(…)`, `openai.OpenAI(…)`, `anthropic.AsyncAnthropic(…)`,
            `anthropic.Anthropic(…)`, or another object with `chat.completions.create` or
            `messages.create`.
        model: The name of the model there.
        defaults: Options for requests that do not give them.
        passes: The names of further options that requests may give, besides those that change the
            answer alone; "tools" lets tools through that the provider runs.

    Raises:
        DefinitionError: For another object, or names that are no options.
    """

    wants_context = False

    def __init__(
        self,
        client: Any,
        model: str,
        *,
        defaults: Mapping[str, Any] | None = None,
        passes: Collection[str] = (),
    ) -> None:
        create = creates_by(client)
        if create is None:
            raise DefinitionError(
                "ClientModel takes a client of openai or anthropic, with chat.completions.create "
                f"or messages.create, not {kind_of(client)}"
            )
        self._create, self._is_openai = create
        # The methods themselves are plain in either kind of client: they return coroutines.
        self.is_async = hasattr(client, "__aenter__")
        self._model = filled("model", model)
        url = getattr(client, "base_url", None)
        self.spends_key = True
        self.priced_as = self._model, None if url is None else str(url)
        self._host: str = getattr(url, "host", "")
        self._defaults = dict(mapping("defaults", defaults or {}))
        takes_links = fetches_links(self._host)
        self._passed = PassedOptions(CHAT_OPTIONS, passes, takes_links=takes_links)
        if not self._is_openai:
            self._defaults = {"max_tokens": DEFAULT_MAX_TOKENS, **self._defaults}

    def answer(self, invocation: Invocation) -> Any:
        """Ask the client; a coroutine, if it is an asynchronous one.

        Args:
            invocation: The request, and what takes the pieces of the answer.

        Raises:
            ModelError: If the upstream does not answer.
        """
        return self._answer_async(invocation) if self.is_async else self._answer_here(invocation)

    async def _answer_async(self, invocation: Invocation) -> ChatCompletion:
        arguments, reader = self._asked(invocation.request)
        gathering = Gathering()
        with client_failures():
            said = await self._create(**arguments)
            if not invocation.request.stream:
                return _whole(said, reader, gathering)
            try:
                async for chunk in said:
                    for delta in pieces_in(_data(chunk), reader, gathering):
                        await invocation.pieces.put(delta)
            finally:
                if hasattr(said, "close"):
                    await said.close()
            return await ended(gathering, reader, invocation)

    def _answer_here(self, invocation: Invocation) -> ChatCompletion:
        arguments, reader = self._asked(invocation.request)
        gathering = Gathering()
        with client_failures():
            said = self._create(**arguments)
            if not invocation.request.stream:
                return _whole(said, reader, gathering)
            try:
                for chunk in said:
                    for delta in pieces_in(_data(chunk), reader, gathering):
                        invocation.pieces.put_from_thread(delta)
            finally:
                if hasattr(said, "close"):
                    said.close()
            for delta in last_pieces(gathering, reader):
                invocation.pieces.put_from_thread(delta)
            return gathering.whole()

    def _asked(self, request: ChatRequest) -> tuple[dict[str, Any], AnswerReader]:
        """The arguments of `create`, and what reads the answer. Options go into `extra_body`, since
        the versions of the packages know different ones."""
        arguments: dict[str, Any] = {"model": self._model, "stream": request.stream}
        if not self._is_openai:
            body = anthropic_body(request, self._passed, self._defaults)
            arguments |= {name: body.pop(name) for name in _SAID_APART}
            return {**arguments, "extra_body": body}, anthropic_reader(request, body)
        body = openai_body(request, self._passed, self._host, defaults=self._defaults)
        arguments["messages"] = body.pop("messages")
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        return {**arguments, "extra_body": body}, OpenAIAnswerReader()


def creates_by(client: Any) -> tuple[Any, bool] | None:
    """The method of a client that makes answers, and whether it is one of openai's; None if it has
    none."""
    completions = getattr(getattr(client, "chat", None), "completions", None)
    if callable(getattr(completions, "create", None)):
        return completions.create, True  # type: ignore[union-attr]
    messages = getattr(client, "messages", None)
    if callable(getattr(messages, "create", None)):
        return messages.create, False  # type: ignore[union-attr]
    return None


def _whole(said: Any, reader: AnswerReader, gathering: Gathering) -> ChatCompletion:
    for _ in pieces_in(_data(said), reader, gathering):
        pass
    reader.is_done = True
    last_pieces(gathering, reader)
    return gathering.whole()


def _data(said: Any) -> Any:
    """An object of the package as plain data."""
    return said if isinstance(said, dict) else said.model_dump(mode="json", warnings=False)


@contextmanager
def client_failures() -> Iterator[None]:
    """Turns exceptions of the clients of providers into `ModelError`."""
    try:
        yield
    except Exception as error:
        failure = client_failure(error)
        if failure is None:
            raise
        if failure[1]:
            logger.warning("%s: %s", type(error).__name__, failure[1])
        raise failure[0] from None
