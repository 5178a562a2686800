"""The embedded image backend: a stand-in for development and tests, without any image model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from mcp_mount.backends.images.abstract import caption, draw
from mcp_mount.backends.images.canvas import Canvas
from mcp_mount.backends.images.figures import FIGURES
from mcp_mount.backends.images.pictures import picture_of
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.images import AUTO, ImageInvocation, ImageRequest, Picture
from mcp_mount.schemas.extras import requires

NAME: Final = "stand-in-image"

_MAX_PIXELS: Final = 4096 * 4096


class StandInBackend:
    """Draws without a model: cards, charts and diagrams from structured parameters, and an abstract
    picture for any other prompt. It says in the picture that it is a stand-in. The same request
    gives the same picture.

    The parameters are `card`, `chart` or `diagram` of the request, or a prompt that is a JSON
    object with one of them.

    Raises:
        MissingExtra: If Pillow is not installed: it comes with the extra `images`.
    """

    is_async = False
    wants_context = False
    edits = True

    def __init__(self) -> None:
        with requires("images", "StandInBackend()"):
            import PIL.Image  # noqa: F401

    def draw(self, invocation: ImageInvocation) -> Picture:
        """Draw a picture.

        Args:
            invocation: The request.

        Raises:
            ModelError: For parameters that do not fit, and a picture that cannot be read.
        """
        request = invocation.request
        if request.images:
            canvas, said = _edited(request)
        else:
            canvas, said = _drawn(request)
        picture = picture_of(canvas.finish(), request.output_format)
        description = f"A stand-in, drawn without an image model: {said}"
        return replace(picture, description=description)


def _drawn(request: ImageRequest) -> tuple[Canvas, str]:
    canvas = Canvas(request.pixels)
    given = _structured(request)
    for name, kind in FIGURES.items():
        if given.get(name) is not None:
            try:
                figure = kind.model_validate(given[name])
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(map(str, (name, *first["loc"])))
                raise _unfit(f"{place}: {first['msg']}", name) from None
            figure.draw(canvas)
            return canvas, figure.described()
    draw(canvas, request.prompt)
    return canvas, f"an abstract picture for {request.prompt[:200]!r}"


def _structured(request: ImageRequest) -> Mapping[str, Any]:
    """The parameters of figures in a request."""
    given = request.model_extra or {}
    if not given.keys() & FIGURES.keys() and request.prompt.lstrip().startswith("{"):
        try:
            found = from_json(request.prompt)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
    return given


def _edited(request: ImageRequest) -> tuple[Canvas, str]:
    from PIL import Image

    base = _opened(request.images[0]).convert("RGB")
    if request.size != AUTO:
        base = base.resize(request.pixels)
    if request.mask is not None:
        hiding = _opened(request.mask).convert("RGBA").resize(base.size).getchannel("A")
        base = Image.composite(base, Image.new("RGB", base.size, (200, 60, 70)), hiding)
    canvas = Canvas(base.size, base)
    caption(canvas, request.prompt)
    return canvas, f"the picture with {request.prompt[:200]!r} written on it"


def _opened(picture: Picture) -> Any:
    """A picture of a client, decoded; formats other than ours are not even tried."""
    from PIL import Image

    try:
        found = Image.open(BytesIO(picture.data), formats=("PNG", "JPEG", "WEBP"))
        if found.width * found.height > _MAX_PIXELS:
            raise _unfit("The picture has too many pixels", "image")
        found.load()
    except ModelError:
        raise
    except Exception:
        # Pillow raises OSError, SyntaxError, struct.error and others for broken files.
        raise _unfit("The picture cannot be read", "image") from None
    return found


def _unfit(message: str, param: str) -> ModelError:
    return ModelError(message, status=400, param=param, again=False)
