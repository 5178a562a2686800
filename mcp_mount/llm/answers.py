"""What a model says: pieces, and the whole that they make."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from pydantic import TypeAdapter

from mcp_mount.llm.media import AudioPart, ImagePart, joined_audio, media_in
from mcp_mount.llm.requests import is_text
from mcp_mount.wire.encoding import encode

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why an answer ends: of itself or at a stop text, at its limit, with calls of tools, or because it
was withheld."""


ProgressStatus: TypeAlias = Literal["in_progress", "completed", "failed"]
"""How the call of a tool does."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens a request and its answer have.

    Attributes:
        input_tokens: Those of the request, cached ones among them.
        output_tokens: Those of the answer, reasoning among them.
        cached_tokens: Those of the request that the model had read before.
        reasoning_tokens: Those of the answer that are reasoning.

    Raises:
        ValueError: For a negative number, or none that is whole.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __post_init__(self) -> None:
        for one in (
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
        ):
            if not isinstance(one, int) or one < 0:
                raise ValueError(f"numbers of tokens are whole and not negative, not {one!r}")

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


def _call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for.

    Attributes:
        name: The name of the tool.
        arguments: By their names; or as text, if the model wrote what is no JSON object.
        id: What the tool's answer refers to; by default a random one.
        extra: Further members of the call that its provider wants back unchanged with it, such as
            Gemini's `extra_content`.

    Raises:
        ValueError: If `extra` has no JSON form.
    """

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str = field(default_factory=_call_id)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.extra:
            encode(self.extra)

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece of the text by which the model refuses to answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the answer ends; without one it is "tool_calls" after a call of a tool, else "stop"."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """How far a tool is that the model itself uses, for clients that show it. It is no part of the
    answer.

    Attributes:
        id: The id of the call.
        name: The name of the tool.
        status: "in_progress", at the end "completed" or "failed".
        progress: How far it is, if it says so: grows from one to the next.
        total: Where `progress` ends, if that is known.
        message: What is being done, for people.
    """

    id: str
    name: str
    status: ProgressStatus = "in_progress"
    progress: float | None = None
    total: float | None = None
    message: str | None = None


@dataclass(slots=True)
class ToolDelta:
    """A piece of a call of a tool.

    Attributes:
        index: Which call of the answer it belongs to, from 0.
        id: The id of the call, in its first piece.
        name: The name of the tool, in its first piece.
        arguments: A piece of the JSON text of the arguments.
        extra: Further members that the provider wants back: see `ToolCall`.

    Raises:
        ValueError: If `extra` has no JSON form.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # It goes out with the end of a response, when nothing else can be said any more.
        if self.extra:
            encode(self.extra)


@dataclass(slots=True)
class Delta:
    """One piece of an answer, as it goes from a model to whoever reads it.

    Attributes:
        text: A piece of the text.
        reasoning: A piece of the reasoning.
        refusal: A piece of a refusal.
        tool: A piece of a call of a tool.
        finish: Why the answer ends.
        usage: How many tokens there were; comes last.
        choice: Which of several answers it belongs to, from 0.
        logprobs: The log probabilities of its tokens, as OpenAI has them.
        model: The name of the model that answers, if it is another one than was asked; in the first
            piece.
        reasoning_details: Pieces of what the provider wants back: see `ChatCompletion`.
        image: A picture.
        audio: Sound, or a piece of it.
        progress: How far a tool is that the model uses.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool: ToolDelta | None = None
    finish: str | None = None
    usage: Usage | None = None
    choice: int = 0
    logprobs: Any = None
    model: str | None = None
    reasoning_details: Sequence[Mapping[str, Any]] = ()
    image: ImagePart | None = None
    audio: AudioPart | None = None
    progress: ToolProgress | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is a piece of text and nothing else, as nearly all are."""
        return bool(self.text) and not (
            self.finish
            or self.tool
            or self.usage
            or self.reasoning
            or self.refusal
            or self.model
            or self.logprobs
            or self.reasoning_details
            or self.image
            or self.audio
            or self.progress
        )

    @property
    def says_something(self) -> bool:
        """Whether it is part of what is said, and not only about it, as a usage is."""
        return bool(
            self.text
            or self.reasoning
            or self.reasoning_details
            or self.refusal
            or self.tool
            or self.image
            or self.audio
        )


@dataclass(slots=True)
class ChatCompletion:
    """A whole answer of a model.

    Attributes:
        text: Its text.
        tool_calls: The calls of tools that the model asks for.
        reasoning: What the model has thought before.
        refusal: Why the model does not answer, if it does not.
        finish_reason: Why the answer ends; None for "tool_calls" if there are any, else "stop".
        usage: How many tokens there were; None if the model does not say.
        model: The name of the model that has answered, if it is another one than was asked.
        logprobs: The log probabilities of its tokens, as OpenAI has them.
        others: The second and further answers, where several were asked for.
        reasoning_details: What the provider wants back unchanged with the message, such as the
            signature of its reasoning, in the form that OpenRouter has for it.
        images: The pictures in it.
        audio: The sound in it.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    logprobs: Any = None
    others: Sequence[ChatCompletion] = ()
    reasoning_details: Sequence[Mapping[str, Any]] = ()
    images: Sequence[ImagePart] = ()
    audio: AudioPart | None = None

    @property
    def finish(self) -> str:
        """Why the answer ends."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def is_text(self) -> bool:
        """Whether it is text and nothing else, as nearly all are."""
        return self.logprobs is None and not (
            self.tool_calls
            or self.others
            or self.refusal
            or self.reasoning
            or self.reasoning_details
            or self.images
            or self.audio
        )

    @property
    def as_text(self) -> str:
        """All of it that is said, where it can be nothing but text."""
        said = [self.text, *(one.as_text for one in self.images)]
        return "".join(said if self.audio is None else [*said, self.audio.as_text])

    @property
    def choices(self) -> Sequence[ChatCompletion]:
        """All answers, this one first."""
        return (self, *self.others)

    def deltas(self) -> Iterator[Delta]:
        """The answer in pieces, those that end it included."""
        if self.model is not None:
            yield Delta(model=self.model)
        for number, one in enumerate(self.choices):
            if one.reasoning:
                yield Delta(reasoning=one.reasoning, choice=number)
            if one.reasoning_details:
                yield Delta(reasoning_details=one.reasoning_details, choice=number)
            if one.refusal:
                yield Delta(refusal=one.refusal, choice=number)
            if one.text:
                yield Delta(text=one.text, choice=number, logprobs=one.logprobs)
            for image in one.images:
                yield Delta(image=image, choice=number)
            if one.audio is not None:
                yield Delta(audio=one.audio, choice=number)
            for index, call in enumerate(one.tool_calls):
                tool = ToolDelta(index, call.id, call.name, call.arguments_text, call.extra)
                yield Delta(tool=tool, choice=number)
            yield Delta(finish=one.finish, choice=number)
        if self.usage is not None:
            yield Delta(usage=self.usage)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors that represent texts.

    Attributes:
        vectors: One for each text, in their order.
        usage: How many tokens the texts have; None if the model does not say.
        model: The name of the model that has answered, if it is another one than was asked.
    """

    vectors: Sequence[Sequence[float]]
    usage: Usage | None = None
    model: str | None = None


@cache
def _completions() -> TypeAdapter[ChatCompletion]:
    # Made when it is needed first: it takes as long as to import a dozen modules.
    return TypeAdapter(ChatCompletion)


def to_data(completion: ChatCompletion) -> dict[str, Any]:
    """A whole answer in JSON form, as caches and processes exchange it."""
    adapter = _completions()
    data: dict[str, Any] = adapter.dump_python(completion, mode="json", exclude_defaults=True)
    return data


def from_data(data: Mapping[str, Any]) -> ChatCompletion:
    """The whole answer of what `to_data` has given."""
    return _completions().validate_python(data)


Piece: TypeAlias = (
    str
    | ToolCall
    | Reasoning
    | Refusal
    | ImagePart
    | AudioPart
    | ToolProgress
    | Mapping[str, Any]
    | Usage
    | Finish
    | ChatCompletion
    | Delta
    | None
)
"""What a function that is a model may return or yield. A mapping is a content part in OpenAI's
form. None says nothing."""


class Gathering:
    """Makes the whole answer of its pieces.

    Attributes:
        model: The name of the model that answers, if it is another one than was asked.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self._choices: list[_Choice] = []
        self._usage: Usage | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no piece has come."""
        return not self._choices and self._usage is None

    def add(self, delta: Delta) -> None:
        """Take a piece."""
        if delta.usage is not None:
            self._usage = delta.usage
        if delta.model is not None:
            self.model = delta.model
        while len(self._choices) <= delta.choice:
            self._choices.append(_Choice())
        self._choices[delta.choice].add(delta)

    def calls(self) -> int:
        """How many calls of tools the first answer has so far."""
        return len(self._choices[0].tools) if self._choices else 0

    @property
    def has_audio(self) -> bool:
        """Whether the first answer has sound so far."""
        return bool(self._choices and self._choices[0].audio)

    def endings(self) -> Iterator[Delta]:
        """The pieces that say why the answers end, of those that have not said so."""
        for number, one in enumerate(self._choices or [_Choice()]):
            if one.finish is None:
                yield Delta(finish="tool_calls" if one.tools else "stop", choice=number)

    def whole(self) -> ChatCompletion:
        """The whole answer."""
        first, *others = [one.whole() for one in self._choices] or [ChatCompletion()]
        first.usage, first.model, first.others = self._usage, self.model, others
        return first


class _Choice:
    """One answer in the making."""

    __slots__ = (
        "audio",
        "details",
        "finish",
        "images",
        "logprobs",
        "reasoning",
        "refusal",
        "text",
        "tools",
    )

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.details: list[dict[str, Any]] = []
        self.refusal: list[str] = []
        self.tools: dict[int, ToolDelta] = {}
        self.finish: str | None = None
        self.logprobs: Any = None
        self.images: list[ImagePart] = []
        self.audio: list[AudioPart] = []

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.text.append(delta.text)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
        if delta.refusal:
            self.refusal.append(delta.refusal)
        if delta.reasoning_details:
            join_details(self.details, delta.reasoning_details)
        if delta.tool is not None:
            known = self.tools.setdefault(delta.tool.index, ToolDelta(delta.tool.index))
            known.id = known.id or delta.tool.id
            known.name = known.name or delta.tool.name
            known.arguments += delta.tool.arguments
            if delta.tool.extra:
                known.extra = {**known.extra, **delta.tool.extra}
        if delta.image is not None:
            self.images.append(delta.image)
        if delta.audio is not None:
            self.audio.append(delta.audio)
        if delta.logprobs is not None:
            self.logprobs = _joined(self.logprobs, delta.logprobs)
        self.finish = delta.finish or self.finish

    def whole(self) -> ChatCompletion:
        calls = [
            ToolCall(one.name, _arguments(one.arguments), one.id or _call_id(), one.extra)
            for _, one in sorted(self.tools.items())
        ]
        return ChatCompletion(
            "".join(self.text),
            calls,
            "".join(self.reasoning),
            "".join(self.refusal),
            self.finish,
            logprobs=self.logprobs,
            reasoning_details=self.details,
            images=self.images,
            audio=joined_audio(self.audio),
        )


def join_details(known: list[dict[str, Any]], more: Sequence[Mapping[str, Any]]) -> None:
    """Add pieces of what a provider wants back to those before: several make one item, if they are
    texts of the same place.

    Args:
        known: The items so far.
        more: The pieces.
    """
    for piece in more:
        given = {key: one for key, one in piece.items() if one is not None}
        last = known[-1] if known else {}
        name = _PIECEWISE.get(str(given.get("type")))
        is_same = all(last.get(one) == given.get(one) for one in ("type", "index"))
        # With its signature an item is whole.
        if name is None or not is_same or "signature" in last:
            known.append(given)
            continue
        text = f"{last.get(name, '')}{given.get(name, '')}"
        last |= {**given, name: text}


_PIECEWISE: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""The types of items that come in pieces, and their members that are joined."""


def deltas_of(piece: Any, gathering: Gathering) -> Iterator[Delta]:
    """A piece that a function has returned or yielded, as pieces of an answer.

    Args:
        piece: The piece.
        gathering: Has those before it.

    Raises:
        TypeError: If it is none that a model may say.
        ValueError: If it is a content part that cannot be.
    """
    if isinstance(piece, str):
        if piece:
            yield Delta(text=piece)
    elif isinstance(piece, Delta):
        yield piece
    elif isinstance(piece, ToolCall):
        index, text = gathering.calls(), piece.arguments_text
        yield Delta(tool=ToolDelta(index, piece.id, piece.name, text, piece.extra))
    elif isinstance(piece, Reasoning):
        yield Delta(reasoning=piece.text)
    elif isinstance(piece, Refusal):
        yield Delta(refusal=piece.text)
    elif isinstance(piece, ImagePart):
        yield Delta(image=piece)
    elif isinstance(piece, AudioPart):
        yield Delta(audio=piece)
    elif isinstance(piece, ToolProgress):
        yield Delta(progress=piece)
    elif isinstance(piece, Mapping) and "type" in piece:
        yield _delta_of_part(piece, gathering)
    elif isinstance(piece, Usage):
        yield Delta(usage=piece)
    elif isinstance(piece, Finish):
        yield Delta(finish=piece.reason)
    elif isinstance(piece, ChatCompletion):
        yield from piece.deltas()
    elif piece is not None:
        raise TypeError(
            "A chat model returns or yields text, ToolCall, Reasoning, Refusal, Image, Audio, "
            "content parts, Usage, Finish or a whole ChatCompletion, not "
            f"{type(piece).__name__}"
        )


def _delta_of_part(part: Mapping[str, Any], gathering: Gathering) -> Delta:
    """The piece that a content part in OpenAI's form is."""
    if is_text(part):
        return Delta(text=part["text"])
    if part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
        return Delta(refusal=part["refusal"])
    media = media_in(part)
    if isinstance(media, ImagePart):
        return Delta(image=media)
    if media is None:
        kind = str(part.get("type"))[:100]
        raise TypeError(
            "The content parts of an answer are text, image_url, input_audio and refusal, not "
            f"{kind!r}"
        )
    if gathering.has_audio:
        raise ValueError("An answer has one sound: yield pieces of it as AudioPart")
    return Delta(audio=media)


def _arguments(text: str) -> dict[str, Any] | str:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _joined(known: Any, more: Any) -> Any:
    """The log probabilities of what has come so far: an object with lists of tokens."""
    if not isinstance(known, dict) or not isinstance(more, dict):
        return more
    return {key: [*(known.get(key) or []), *(more.get(key) or [])] for key in {**known, **more}}
