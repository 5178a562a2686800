"""ImageRouter: image generation, as an MCP tool and over HTTP."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Unpack

from mcp_mount.backends.images.drawing import draw
from mcp_mount.features import Image, ToolError
from mcp_mount.routes.errors import failed, openai_error
from mcp_mount.routes.gate import gate
from mcp_mount.routes.http_calls import HTTPCall
from mcp_mount.routes.openai.route import OpenAIRoute
from mcp_mount.routes.options import NamedRouterOptions
from mcp_mount.routes.router import MCPRouter
from mcp_mount.schemas.functions import is_coroutine_function
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAX_PIXELS = 2048
_TOOL = "generate_image"

Size = Annotated[
    str,
    Field(
        pattern=r"^[1-9]\d{1,3}x[1-9]\d{1,3}$",
        description=f"Width and height in pixels, such as 512x512; at most {_MAX_PIXELS} each",
    ),
]
Prompt = Annotated[str, Field(min_length=1, max_length=4000, description="What to show")]

Draw = Callable[[str, tuple[int, int]], Any]


class ImageRequest(BaseModel):
    """A request of the OpenAI images interface."""

    model_config = ConfigDict(extra="allow")

    prompt: Prompt
    n: int = Field(1, ge=1, le=10)
    size: Size = "512x512"
    response_format: Literal["b64_json", "url"] = "b64_json"


class ImageRouter(MCPRouter):
    """Image generation: the MCP tool `generate_image` and `POST /v1/images/generations`.

    Args:
        generate: Takes the prompt and the size (width, height), and returns an `Image`, a PIL image
            or bytes; it may be a coroutine function. By default it draws an abstract picture, for
            development; this needs the extra `images`. Without the extra there is no tool, and the
            HTTP route answers 503.
        options: Those of `MCPRouter`.
    """

    def __init__(self, generate: Draw | None = None, **options: Unpack[NamedRouterOptions]) -> None:
        super().__init__(**options)
        if generate is None and find_spec("PIL") is not None:
            generate = draw
        self._generate = generate
        self._is_async = generate is not None and is_coroutine_function(generate)
        if generate is None:
            logger.warning(
                "ImageRouter has no backend: install mcp-mount[images] or pass generate="
            )
        else:
            # A plain function stays one, so that under WSGI it runs on the request's thread.
            self.add_tool(
                self._generate_async if self._is_async else self._generate_sync,
                name=_TOOL,
                annotations={"readOnlyHint": True},
            )
        self.add_api_route(
            "/v1/images/generations",
            self.create_images,
            methods=["POST"],
            dependencies=[Depends(gate)],
            tags=["images"],
            summary="Generate images",
            response_model=None,
            route_class_override=OpenAIRoute,
        )

    async def create_images(self, wanted: ImageRequest, request: Request) -> Any:
        """Generate images; each comes Base64-encoded, or as a data: URL.

        Each counts as a call of the tool, within all that is declared around it.
        """
        if self._generate is None:
            return openai_error(503, "no_backend", "This server has no image backend")
        arguments = {"prompt": wanted.prompt, "size": wanted.size}
        images: list[dict[str, str]] = []
        for _ in range(wanted.n):
            call = HTTPCall(request, "images/generations", _TOOL, self.registry)
            try:
                media_type, encoded = await call.tool(arguments, _encoded)
            except Exception as error:
                return failed(error, "The image backend")
            if wanted.response_format == "url":
                images.append({"url": f"data:{media_type};base64,{encoded}"})
            else:
                images.append({"b64_json": encoded})
        return {"created": int(time.time()), "data": images}

    async def _generate_async(self, prompt: Prompt, size: Size = "512x512") -> Image:
        """Generate an image from a description."""
        assert self._generate is not None
        return _as_image(await self._generate(prompt, _parse_size(size)))

    def _generate_sync(self, prompt: Prompt, size: Size = "512x512") -> Image:
        """Generate an image from a description."""
        assert self._generate is not None
        return _as_image(self._generate(prompt, _parse_size(size)))


def _parse_size(size: str) -> tuple[int, int]:
    """Width and height of "512x512".

    Raises:
        ToolError: If one is too large.
    """
    width, _, height = size.partition("x")
    if max(int(width), int(height)) > _MAX_PIXELS:
        raise ToolError(f"size must be at most {_MAX_PIXELS}x{_MAX_PIXELS}")
    return int(width), int(height)


def _encoded(image: Image) -> tuple[str, str]:
    """The media type and the data of an image, in Base64."""
    data = image.read()
    return image.media_type(data), base64.b64encode(data).decode()


def _as_image(value: Any) -> Image:
    return value if isinstance(value, Image) else Image(value)
