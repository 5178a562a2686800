"""Upstreams with OpenAI's interface for pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import aclosing
from typing import Any

from typing_extensions import Unpack

from mcp_mount.backends.images.pictures import MEDIA_TYPES, media_type_of
from mcp_mount.backends.models.upstreams.connections import ConnectionOptions
from mcp_mount.backends.models.upstreams.failures import bad_answer, broken_off, decoded
from mcp_mount.backends.models.upstreams.options import IMAGE_OPTIONS, PassedOptions
from mcp_mount.backends.models.upstreams.responses import UpstreamResponse
from mcp_mount.backends.models.upstreams.upstream import FormFiles, Key, Upstream
from mcp_mount.backends.models.upstreams.upstream_models import UpstreamModel
from mcp_mount.llm.images import AUTO, ImageInvocation, ImageRequest, PartialPicture, Picture
from mcp_mount.schemas.values import flag, or_none
from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.data_urls import data_url


class OpenAIImages(UpstreamModel):
    """A model of an upstream with OpenAI's interface that generates and edits pictures.

    Options of a request that change the picture alone go to the upstream as they are; `passes`
    names further ones, and all others are refused.

    Args:
        base_url: The URL before `/images/generations`, such as "https://api.openai.com/v1". A query
            in it (`?api-version=…`) is sent with each request.
        model: The name of the model there.
        key: The API key, sent as a bearer token; or a function that returns it for each request,
            plain and quick or a coroutine function. None for none.
        defaults: Options for requests that do not give them, in the form of the upstream.
        passes: The names of further options that requests may give, such as "moderation".
        edits: Whether the model edits pictures.
        streams: Whether it sends pictures on their way; by default where its name has "gpt-image".
        asks_base64: Whether `response_format` asks for the picture itself. The models of OpenAI
            that send no URLs refuse it; by default it is sent to all whose name has no "gpt-image".
        options: How the upstream is reached: headers, timeouts, limits, a proxy.

    Raises:
        DefinitionError: For an argument that cannot be.
        MissingExtra: If httpx2 is not installed: it comes with the extra `llm`.
    """

    provider = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: Key = None,
        defaults: Mapping[str, Any] | None = None,
        passes: Collection[str] = (),
        edits: bool = True,
        streams: bool | None = None,
        asks_base64: bool | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        authorization = ("authorization", "Bearer ")
        upstream = Upstream("OpenAIImages", base_url, authorization, key, **options)
        super().__init__(upstream, model, defaults)
        self._passed = PassedOptions(IMAGE_OPTIONS, passes)
        self.edits = flag("edits", edits)
        is_new = "gpt-image" in model
        given = or_none(flag)("streams", streams)
        self._streams = is_new if given is None else given
        given = or_none(flag)("asks_base64", asks_base64)
        self._asks_base64 = not is_new if given is None else given

    async def draw(self, invocation: ImageInvocation) -> Picture:
        """Ask the upstream for one picture.

        Args:
            invocation: The request, and what takes partial pictures.

        Raises:
            ModelError: If it does not answer.
        """
        request = invocation.request
        body = {**self._defaults, **self._options(request), "model": self._model}
        if self._asks_base64:
            body["response_format"] = "b64_json"
        if request.stream and self._streams:
            body |= {"stream": True, "partial_images": request.partial_images}
        path, files = "/images/generations", None
        if request.images:
            path, files = "/images/edits", _files(request)
        async with self._upstream.ask(path, body, files) as reply:
            if reply.is_stream:
                return await _streamed(reply, invocation)
            return _picture_in(await reply.json())

    def _options(self, request: ImageRequest) -> dict[str, Any]:
        options = self._passed.of(request.options())
        if options.get("size") == AUTO:
            # Older models do not know the word, and it is what all do without it.
            del options["size"]
        return options


def _files(request: ImageRequest) -> FormFiles:
    name = "image" if len(request.images) == 1 else "image[]"
    named = [(name, one) for one in request.images]
    if request.mask is not None:
        named.append(("mask", request.mask))
    return [
        (
            field,
            (
                f"{field.strip('[]')}{number}.{MEDIA_TYPES.get(one.media_type, 'png')}",
                one.data,
                one.media_type,
            ),
        )
        for number, (field, one) in enumerate(named)
    ]


async def _streamed(reply: UpstreamResponse, invocation: ImageInvocation) -> Picture:
    """The picture at the end of a stream; those on their way go to whoever asks.

    Raises:
        ModelError: If there is none.
    """
    async with aclosing(reply.events()) as events:
        async for data in events:
            event = {} if data == b"[DONE]" else decoded(data)
            if not isinstance(event, dict):
                raise bad_answer("is no event")
            kind = str(event.get("type", ""))
            if kind.endswith(".partial_image"):
                if invocation.request.stream:
                    partial, media_type = _content(event)
                    await invocation.pieces.put(PartialPicture(partial, media_type))
            elif kind.endswith(".completed"):
                return _picture_of(event, event)
            elif event.get("error") or kind == "error":
                raise broken_off(event.get("error") or event)
    raise bad_answer("ends before its picture")


def _picture_in(answer: Any) -> Picture:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not data or not isinstance(data[0], dict):
        raise bad_answer("has no picture")
    return _picture_of(data[0], answer)


def _picture_of(one: Mapping[str, Any], whole: Mapping[str, Any]) -> Picture:
    content, media_type = _content(one)
    revised, usage = one.get("revised_prompt"), whole.get("usage")
    return Picture(
        content,
        media_type,
        revised_prompt=revised if isinstance(revised, str) else None,
        usage=usage if isinstance(usage, dict) else None,
    )


def _content(one: Mapping[str, Any]) -> tuple[bytes, str]:
    text = one.get("b64_json")
    try:
        url = data_url(one.get("url"))
        if isinstance(text, str):
            content = decode_base64(text)
        elif url is not None:
            content = url.data()
        elif isinstance(one.get("url"), str):
            raise bad_answer("has a URL in place of the picture: try asks_base64=True")
        else:
            raise bad_answer("has no picture")
    except ValueError:
        raise bad_answer("has a picture that is no Base64") from None
    media_type = media_type_of(content)
    if media_type is None:
        raise bad_answer("has a picture that is no PNG, JPEG or WebP")
    return content, media_type
