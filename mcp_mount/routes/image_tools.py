"""The tools by which MCP clients ask the image backends of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field

from mcp_mount.backends.images.pictures import MEDIA_TYPES, media_type_of
from mcp_mount.calls.results import ContentBlock
from mcp_mount.context import operations
from mcp_mount.context.context import Context
from mcp_mount.context.operations import perform_async
from mcp_mount.features import Image, ToolError
from mcp_mount.features.registry import REMEDY
from mcp_mount.llm.images import ImageRequest, PartialPicture, Picture
from mcp_mount.routes.openai.files import ImageFiles
from mcp_mount.transports.threads import run_in_thread
from mcp_mount.wire.binary import decode_base64
from mcp_mount.wire.data_urls import data_url

SCHEME: Final = "image://"

Prompt = Annotated[str, Field(min_length=1, max_length=32_000, description="What to show")]
Size = Annotated[
    str,
    Field(
        pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$",
        description='Width and height in pixels, such as "512x512", or "auto"',
    ),
]
Model = Annotated[str | None, Field(description="Which image backend; by default the first")]
Quality = Annotated[str | None, Field(max_length=64, description='Such as "low", "high", "auto"')]
Background = Literal["transparent", "opaque", "auto"] | None
Format = Literal["png", "jpeg", "webp"] | None
Given = Annotated[
    str, Field(description="A picture: a data: URL, Base64, or the image: URI of an earlier result")
]


F = TypeVar("F", bound=Callable[..., Any])


def _nameable(function: F) -> F:
    """Mark a handler whose tool has another name in a second router of a server."""
    remedy = (
        'a second ImageRouter needs image_tools="posters", by which its tools are '
        "posters_generate_image and posters_edit_image, or image_tools=False: the tools of the "
        "first ask all backends of the server, by model="
    )
    setattr(function, REMEDY, remedy)
    return function


class ImageTools:
    """The handlers of the tools.

    Args:
        files: Keeps pictures.
        links: Whether results have links to pictures, in place of the pictures.
        max_images: How many pictures may be edited at one time.
        group: Tells them apart from those of another router: it begins the names of tools and
            follows the scheme of links. None for the only ones.
        first: Returns the backend that is asked if a client names none, by whether it must edit;
            None for the first of the server.
    """

    def __init__(
        self,
        files: ImageFiles,
        *,
        links: bool,
        max_images: int,
        group: str | None,
        first: Callable[[bool], str | None],
    ) -> None:
        self._scheme = SCHEME if group is None else f"{SCHEME}{group}/"
        self._group = group
        self._first = first
        self._files = files
        self._links = links
        self._max_images = max_images

    def name_of(self, handler: Callable[..., Any]) -> str:
        """The name of the tool that a handler is."""
        name: str = handler.__name__
        return name if self._group is None else f"{self._group}_{name}"

    @_nameable
    async def generate_image(
        self,
        prompt: Prompt,
        ctx: Context[Any],
        size: Size = "auto",
        model: Model = None,
        quality: Quality = None,
        background: Background = None,
        output_format: Format = None,
    ) -> Image:
        """Generate an image from a description."""
        options = {"size": size, "quality": quality, "background": background}
        asked = model or self._first(False)
        request = _request(prompt, asked, output_format=output_format, **options)
        shown: Image = await self._drawn(ctx, request)
        return shown

    @_nameable
    async def edit_image(
        self,
        prompt: Annotated[Prompt, Field(description="What to change")],
        images: Annotated[list[Given], Field(min_length=1, description="What to change it in")],
        ctx: Context[Any],
        mask: Annotated[
            str | None, Field(description="A picture that is transparent where to change the first")
        ] = None,
        size: Size = "auto",
        model: Model = None,
        quality: Quality = None,
        background: Background = None,
        output_format: Format = None,
    ) -> Image:
        """Change one or several images by a description."""
        if len(images) > self._max_images:
            raise ToolError(f"At most {self._max_images} pictures can be edited at one time")
        given = [await run_in_thread(partial(self._given, one)) for one in images]
        hiding = None if mask is None else await run_in_thread(partial(self._given, mask))
        options = {"size": size, "quality": quality, "background": background}
        asked = model or self._first(True)
        request = _request(prompt, asked, output_format=output_format, **options)
        shown: Image = await self._drawn(ctx, request.with_files(given, hiding))
        return shown

    async def _drawn(self, ctx: Context[Any], request: ImageRequest) -> Any:
        progress = _DrawingProgress(ctx)
        picture = await perform_async(operations.draw(ctx, request, progress))
        await progress.told()
        shown: Any = Image(data=picture.data, format=picture.media_type)
        if self._links:
            shown = await run_in_thread(partial(self._link, picture))
        said = picture.description or picture.revised_prompt
        return shown if said is None else [shown, said]

    def _link(self, picture: Picture) -> ContentBlock:
        name = self._files.save(picture)
        ending = name.rpartition(".")[2]
        return ContentBlock(
            type="resource_link",
            uri=f"{self._scheme}{name}",
            name=f"image.{ending}",
            mimeType=picture.media_type,
            size=len(picture.data),
        )

    def _given(self, value: str) -> Picture:
        data: bytes | None
        if value.startswith(SCHEME):
            data = self._files.load(value.removeprefix(self._scheme))
            if data is None:
                raise ToolError("There is no such picture, or it has expired")
        else:
            try:
                url = data_url(value)
                data = decode_base64(value) if url is None else url.data()
            except ValueError:
                raise ToolError("A picture is a data: URL, Base64, or an image: URI") from None
        media_type = media_type_of(data)
        if media_type is None:
            raise ToolError("A picture is a PNG, JPEG or WebP")
        return Picture(data, media_type)

    def readers(self) -> list[tuple[str, str, Callable[[str], bytes]]]:
        """The resources of pictures that results link to: a template, a media type and a reader."""
        return [
            (f"{self._scheme}{{name}}.{ending}", media_type, partial(self._read, ending))
            for media_type, ending in MEDIA_TYPES.items()
        ]

    def _read(self, ending: str, name: str) -> bytes:
        data = self._files.load(f"{name}.{ending}")
        if data is None:
            raise LookupError("There is no such picture, or it has expired")
        return data


def _request(prompt: str, model: str | None, **options: Any) -> ImageRequest:
    known = {name: one for name, one in options.items() if one is not None}
    return ImageRequest(prompt=prompt, model=model, stream=True, partial_images=3, **known)


class _DrawingProgress:
    """Tells the client of pictures on their way."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._telling: list[Future[None]] = []

    async def put(self, delta: PartialPicture) -> None:
        self._count += 1
        await self._context.report_progress(self._count, message="The picture is being drawn")

    def put_from_thread(self, delta: PartialPicture) -> None:
        """Tell it without waiting: under WSGI the thread that sends is the one that draws."""
        self._telling.append(asyncio.run_coroutine_threadsafe(self.put(delta), self._loop))

    async def told(self) -> None:
        """Wait until all has been told."""
        await asyncio.gather(*map(asyncio.wrap_future, self._telling), return_exceptions=True)
