"""`/v1/images/generations` and `/v1/images/edits`: pictures, whole or while they are drawn."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import Request, Response

from mcp_mount.backends.images.pictures import MEDIA_TYPES
from mcp_mount.features import Registry
from mcp_mount.features.images import EDIT, GENERATE, ImageCall
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.images import AUTO, NO_IMAGE_PIECES, ImageRequest, PartialPicture, Picture
from mcp_mount.policies.concurrency import MaxConcurrency
from mcp_mount.routes.errors import failed
from mcp_mount.routes.gate import runner_of
from mcp_mount.routes.openai.calls import called, incoming_for
from mcp_mount.routes.openai.files import ImageFiles
from mcp_mount.routes.openai.forms import edit_request
from mcp_mount.routes.openai.streaming import Reading, streamed
from mcp_mount.routes.openai.together import together
from mcp_mount.routes.parts import registry_of
from mcp_mount.transports.attending import Departure, run_calls
from mcp_mount.transports.executor import waiting_thread
from mcp_mount.transports.lasting import keep, wait_until_done
from mcp_mount.transports.pieces import PieceStream
from mcp_mount.wire.cancellation import cancel
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.messages import JSON

_NO_USAGE: Final = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


class ImagesEndpoint:
    """Pictures over HTTP.

    Args:
        registry: That of the router.
        files: Makes URLs of pictures.
        max_images: How many pictures a request to edit may have.
    """

    def __init__(self, registry: Registry, files: ImageFiles, max_images: int) -> None:
        self._registry = registry
        self._files = files
        self._max_images = max_images

    async def generate(self, wanted: ImageRequest, request: Request) -> Response:
        """Draw pictures of a prompt, within all that is declared around the backend."""
        return await self._answer(wanted, request, GENERATE)

    async def edit(self, request: Request) -> Response:
        """Change pictures by a prompt, within all that is declared around the backend.

        The body is a form with `image` (several of `image[]`), `mask` and `prompt`, or JSON with
        data: URLs.
        """
        return await self._answer(await edit_request(request, self._max_images), request, EDIT)

    async def _answer(self, wanted: ImageRequest, request: Request, method: str) -> Response:
        calls: list[ImageCall] = []
        try:
            registry = registry_of(request, self._registry)
            streams = None
            if wanted.stream:
                streams = [PieceStream(wanted.partial_images) for _ in range(wanted.n)]
            incoming = await incoming_for(request, registry, method, wanted.model)
            for number in range(wanted.n):
                pieces: Any = NO_IMAGE_PIECES if streams is None else streams[number]
                make = partial(registry.image_call, incoming, wanted, pieces, number)
                calls.append(await called(request, incoming, make))
            if streams is None:
                async with together(calls):
                    pictures = await _drawn(calls, request)
                data = [await self._item(one, wanted, request) for one in pictures]
                return Response(encode(_whole(data, pictures, wanted)), media_type=JSON)
            item = partial(self._item, wanted=wanted, request=request)
            reading = _ImageReading(request, calls, streams, item)
            kind = "image_edit" if method == EDIT else "image_generation"
            return await streamed(request, reading, _Events(kind, wanted), _what(calls))
        except Exception as error:
            return failed(error, _what(calls))

    async def _item(
        self, picture: Picture, wanted: ImageRequest, request: Request
    ) -> dict[str, Any]:
        item: dict[str, Any]
        if wanted.response_format == "url":
            item = {"url": await self._files.url_of(picture, request)}
        else:
            item = {"b64_json": _base64(picture.data)}
        if picture.revised_prompt is not None:
            item["revised_prompt"] = picture.revised_prompt
        return item


def _what(calls: Sequence[ImageCall]) -> str:
    return f"The image backend {calls[0].model.name!r}" if calls else "The image backend"


def _at_the_same_time(call: ImageCall) -> bool:
    """Whether pictures are drawn at the same time: coroutines are. Under WSGI they have one thread
    for plain call middleware: one that waited there for the turn of another would stop both."""
    waits = any(isinstance(one, MaxConcurrency) for one in call.policies)
    return call.is_async and not (waits and waiting_thread() is not None)


async def _drawn(calls: Sequence[ImageCall], request: Request) -> list[Picture]:
    """The pictures of all calls: coroutines draw at the same time.

    Raises:
        Exception: What has ended the first of them that has failed.
    """
    runner = runner_of(request)
    if len(calls) == 1 or not _at_the_same_time(calls[0]):
        pictures = []
        for call in calls:
            await run_calls([call], runner, request.receive)
            pictures.append(call.answer())
        return pictures

    async def draw(call: ImageCall) -> Picture:
        # Nobody watches for the client here.
        await run_calls([call], runner)
        return call.answer()

    tasks = [keep(asyncio.create_task(draw(one))) for one in calls]

    def leave() -> None:
        for task in tasks:
            if not task.done():
                cancel(task)

    departure = Departure(request.receive, leave)
    try:
        return await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        if not departure.left:
            raise
        raise ModelError("The client has left", status=499) from None
    finally:
        departure.end_watch()
        leave()
        for task in tasks:
            await wait_until_done(task)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A whole picture, with the members that say where it is."""

    picture: Picture
    item: dict[str, Any]


class _Events:
    """Writes the events of a stream in OpenAI's form.

    Args:
        kind: What the names of the events begin with.
        wanted: The request.
    """

    def __init__(self, kind: str, wanted: ImageRequest) -> None:
        self._kind = kind
        self._common = {
            "created_at": int(time.time()),
            "size": wanted.size,
            "quality": wanted.quality or AUTO,
            "background": wanted.background or AUTO,
        }
        self._index = 0

    def events(self, pieces: Sequence[_Drawn | PartialPicture]) -> bytes:
        """The events for pictures, and for those on their way."""
        return b"".join(map(self._event, pieces))

    def end(self) -> bytes:
        """Nothing: the last picture is the end."""
        return b""

    def failure(self, error: dict[str, Any]) -> bytes:
        """The event that ends a stream that has failed on its way."""
        return b"event: error\ndata: %b\n\n" % encode({"type": "error", **error})

    def _event(self, piece: _Drawn | PartialPicture) -> bytes:
        picture = piece.picture if isinstance(piece, _Drawn) else piece
        whole = {**self._common, "output_format": MEDIA_TYPES.get(picture.media_type, "png")}
        if isinstance(piece, _Drawn):
            self._index = 0
            name = f"{self._kind}.completed"
            whole |= {**piece.item, "usage": piece.picture.usage or _NO_USAGE}
        else:
            name = f"{self._kind}.partial_image"
            whole |= {"b64_json": _base64(piece.data), "partial_image_index": self._index}
            self._index += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), encode({"type": name, **whole}))


class _ImageReading(Reading[ImageCall]):
    """Reads what backends draw: the events of one picture, then those of the next."""

    def __init__(
        self,
        request: Request,
        calls: Sequence[ImageCall],
        streams: Sequence[PieceStream],
        item: Callable[[Picture], Awaitable[dict[str, Any]]],
    ) -> None:
        """Prepare.

        Args:
            request: The HTTP request.
            calls: The calls.
            streams: Where each puts its pictures.
            item: Makes the members for a whole picture.
        """
        # The form has no number of a picture: clients tell them apart by their order.
        super().__init__(request, calls, streams, at_once=_at_the_same_time(calls[0]))
        self._item = item

    async def rest(self, number: int, *, has_spoken: bool) -> Sequence[_Drawn]:
        picture = self.calls[number].answer()
        return [_Drawn(picture, await self._item(picture))]


def _whole(
    data: list[dict[str, Any]], pictures: Sequence[Picture], wanted: ImageRequest
) -> dict[str, Any]:
    whole: dict[str, Any] = {"created": int(time.time()), "data": data}
    whole["output_format"] = MEDIA_TYPES.get(pictures[0].media_type, "png")
    for name in ("size", "quality", "background"):
        value = getattr(wanted, name)
        if value not in (None, AUTO):
            whole[name] = value
    used = [one.usage for one in pictures if one.usage is not None]
    if used:
        names = ("total_tokens", "input_tokens", "output_tokens")
        whole["usage"] = {**used[-1], **{name: _sum(used, name) for name in names}}
    return whole


def _sum(used: Sequence[Any], name: str) -> int:
    values = [one.get(name) for one in used]
    return sum(one for one in values if isinstance(one, int))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
