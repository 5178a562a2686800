"""`/v1/completions`: the interface for plain texts, which older clients use."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mcp_mount.features import Registry
from mcp_mount.llm.answers import ChatCompletion, Delta, Usage
from mcp_mount.llm.requests import ChatRequest
from mcp_mount.routes.openai.chat import DONE, usage_of
from mcp_mount.routes.openai.chat_answers import answer
from mcp_mount.routes.openai.text_only import MediaAsText
from mcp_mount.wire.encoding import encode

_MAX_PROMPTS: Final = 128
"""How many prompts a request may have: each is a call."""


class TextRequest(BaseModel):
    """A request for text completions. Options that have no attribute here go to the model.

    Attributes:
        model: The name of the model; None for the default one.
        prompt: The text, or several texts; each gets an answer, or `n` of them.
        echo: Whether each answer begins with its prompt.
        stream: Whether the answers are to come in pieces.
        stream_options: `include_usage` asks for the usage at the end of a stream.
        n: How many answers to each prompt are wanted.
        logprobs: Of how many tokens the log probabilities are wanted, at each place.
    """

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    prompt: list[str] = Field(min_length=1, max_length=_MAX_PROMPTS)
    echo: bool = False
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    n: int = Field(1, ge=1, le=128)
    logprobs: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        if given.pop("suffix", ""):
            raise ValueError("suffix is not supported: the models here continue a prompt only")
        best = given.pop("best_of", 1)
        if best not in (1, given.get("n", 1)):
            raise ValueError("best_of is not supported: ask for n answers")
        return given

    @field_validator("prompt", mode="before")
    @classmethod
    def _several(cls, prompt: Any) -> Any:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if has_tokens(prompts):
            raise ValueError("Numbers of tokens are not supported: send text")
        return prompts

    def questions(self) -> list[ChatRequest]:
        """What the model is asked: for each prompt a conversation that begins with it."""
        own = {"prompt", "echo", "logprobs"}
        given = self.model_dump(exclude_unset=True, exclude=own)
        if self.logprobs is not None:
            given |= {"logprobs": True, "top_logprobs": self.logprobs}
        return [
            ChatRequest.model_validate({**given, "messages": [{"role": "user", "content": one}]})
            for one in self.prompt
        ]


def has_tokens(texts: Any) -> bool:
    """Whether a client has sent the numbers of tokens in place of text."""
    return isinstance(texts, list) and any(isinstance(one, int | list) for one in texts)


class TextEndpoint:
    """Text completions.

    Args:
        registry: That of the router.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def answer(self, wanted: TextRequest, request: Request) -> Response:
        """Continue texts, within all that is declared around the model."""
        return await answer(
            request, self._registry, wanted.questions(), partial(_TextWriter, wanted)
        )


class _TextWriter:
    """Writes the answers to one request.

    The answers to a prompt have `n` numbers in a row, whether or not the model gives as many: by
    them clients find the prompt.
    """

    def __init__(self, wanted: TextRequest, model: str) -> None:
        self._wanted = wanted
        self._model = model
        self._usages: dict[int, Usage] = {}
        self._lengths: dict[int, int] = {}
        self._media = MediaAsText()
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
        }

    def whole(self, completions: Sequence[ChatCompletion]) -> bytes:
        """The answers in one piece."""
        choices = []
        for asked, whole in enumerate(completions):
            begun = self._wanted.prompt[asked] if self._wanted.echo else ""
            first = asked * self._wanted.n
            # Of more answers than were asked for, the numbers are those of the next prompt.
            given = whole.choices if len(completions) == 1 else whole.choices[: self._wanted.n]
            for number, one in enumerate(given, first):
                logprobs = _logprobs(one.logprobs, len(begun))
                choices.append(_choice(number, begun + one.as_text, one.finish, logprobs))
        usage = sum((one.usage for one in completions if one.usage is not None), Usage())
        return encode(
            {
                **self._head,
                "model": completions[0].model or self._model,
                "choices": choices,
                "usage": usage_of(usage),
            }
        )

    def events(self, deltas: Sequence[Delta]) -> bytes:
        """Pieces of streamed answers, as events."""
        return b"".join(
            b"data: %b\n\n" % encode({**self._head, "model": self._model, "choices": [choice]})
            for delta in deltas
            for choice in self._choices(self._media.of(delta))
        )

    def end(self) -> bytes:
        """The events that end streamed answers."""
        if not (self._wanted.stream_options or {}).get("include_usage"):
            return DONE
        usage = usage_of(sum(self._usages.values(), Usage()))
        last = {**self._head, "model": self._model, "choices": [], "usage": usage}
        return b"data: %b\n\n" % encode(last) + DONE

    def failure(self, error: dict[str, Any]) -> bytes:
        """The events that end streamed answers that have failed on their way."""
        return b"data: %b\n\n" % encode(error) + DONE

    def _choices(self, delta: Delta) -> Iterator[dict[str, Any]]:
        asked = min(delta.choice // self._wanted.n, len(self._wanted.prompt) - 1)
        if delta.usage is not None:
            # A model may tell it several times: the last one counts.
            self._usages[asked] = delta.usage
        self._model = delta.model or self._model
        if not (delta.text or delta.finish is not None):
            return
        if delta.choice not in self._lengths:
            begun = self._wanted.prompt[asked] if self._wanted.echo else ""
            self._lengths[delta.choice] = len(begun)
            if begun:
                yield _choice(delta.choice, begun)
        length = self._lengths[delta.choice]
        self._lengths[delta.choice] += len(delta.text)
        logprobs = _logprobs(delta.logprobs, length)
        yield _choice(delta.choice, delta.text, delta.finish, logprobs)


def _choice(
    number: int, text: str, finish: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _logprobs(given: Any, begun: int) -> dict[str, Any] | None:
    """The log probabilities of a chat completion, in the form of text completions.

    Args:
        given: Those of a chat completion.
        begun: How long the text before them is.
    """
    tokens = given.get("content") if isinstance(given, Mapping) else None
    if not tokens:
        return None
    offsets, place = [], begun
    for one in tokens:
        offsets.append(place)
        place += len(one["token"])
    return {
        "tokens": [one["token"] for one in tokens],
        "token_logprobs": [one["logprob"] for one in tokens],
        "top_logprobs": [
            {top["token"]: top["logprob"] for top in one.get("top_logprobs", ())} for one in tokens
        ],
        "text_offset": offsets,
    }
