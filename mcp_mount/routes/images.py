"""ImageRouter: image generation and editing, as MCP tools and over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeVar, overload

from fastapi import Depends
from typing_extensions import Unpack

from mcp_mount.backends.images.functions import FunctionBackend
from mcp_mount.backends.images.limits import LimitedBackend
from mcp_mount.backends.images.standin import NAME as STAND_IN
from mcp_mount.backends.images.standin import StandInBackend
from mcp_mount.backends.images.stores import ImageStore, MemoryImages
from mcp_mount.calls.tasks import TaskPolicy
from mcp_mount.features.models import RegisteredModel
from mcp_mount.features.prices import PicturePrice, Price, Pricing
from mcp_mount.llm.images import ImageBackend
from mcp_mount.policies.chain import policies_of
from mcp_mount.policies.options import split
from mcp_mount.routes.gate import form_gate, gate
from mcp_mount.routes.image_tools import ImageTools
from mcp_mount.routes.openai.files import ImageFiles
from mcp_mount.routes.openai.forms import EDIT_BODY
from mcp_mount.routes.openai.images import ImagesEndpoint
from mcp_mount.routes.openai.route import route_class_of
from mcp_mount.routes.options import ImageOptions, NamedRouterOptions
from mcp_mount.routes.permissions import rules_of
from mcp_mount.routes.router import MCPRouter, add_asking_tool
from mcp_mount.schemas.functions import DefinitionError, name_of
from mcp_mount.schemas.names import list_of_names, refuse_unknown
from mcp_mount.schemas.values import filled, flag, or_none, seconds, unlike, whole
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

F = TypeVar("F", bound=Callable[..., Any])

_GROUP: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_UNNAMED: Final = "image"
_STAND_IN: Final = "No image model: it draws text and diagrams, for development and tests"


class ImageRouter(MCPRouter):
    """Image generation and editing: the MCP tools `generate_image` and `edit_image`, and
    `POST /v1/images/generations` and `POST /v1/images/edits` in OpenAI's form.

    Each picture is a call of its backend, of its own. A request that names no backend gets the
    first one. As long as a server has none, one answers that needs no model, for development; it
    needs the extra `images`. Without that there is no tool, and the HTTP routes answer 503.

    Args:
        generate: A function that draws: see `backend`. It answers to every name that no other
            backend has.
        store: Keeps the pictures that clients want as URLs; by default this process does.
        url_seconds: For how long.
        files_url: What these URLs begin with, before `/v1/images/files/`; by default as the client
            has asked.
        max_side: The largest width and height, in pixels.
        max_image_bytes: The largest picture that a backend may return.
        max_images: How many pictures a request to edit may have.
        image_tools: Whether MCP clients have the tools. A word begins their names, for a second
            router of a server: with "posters" they are `posters_generate_image` and
            `posters_edit_image`, and ask the first backend of this router if clients name none.
        results: Whether results of the tools have the picture, or a link to a resource.
        task: Whether calls of the tools run as tasks: as of `tool`.
        options: Policies of all backends and tools registered here; arguments of FastAPI's
            APIRouter.

    Raises:
        DefinitionError: For an option that does not exist or cannot have its value.
    """

    def __init__(
        self,
        generate: Callable[..., Any] | ImageBackend | None = None,
        *,
        store: ImageStore | None = None,
        url_seconds: float = 3600.0,
        files_url: str | None = None,
        max_side: int = 2048,
        max_image_bytes: int = 20 * 1024 * 1024,
        max_images: int = 16,
        image_tools: bool | str = True,
        results: Literal["image", "link"] = "image",
        task: bool | Literal["required"] | TaskPolicy = False,
        **options: Unpack[NamedRouterOptions],
    ) -> None:
        super().__init__(**options)
        if store is not None and (other := unlike(store, ImageStore)):
            raise DefinitionError(f"store is an object with save and load, not {other}")
        if results not in ("image", "link"):
            raise DefinitionError(f'results is "image" or "link", not {results!r}')
        kept = MemoryImages() if store is None else store
        self._files = ImageFiles(
            kept, seconds("url_seconds", url_seconds), or_none(filled)("files_url", files_url)
        )
        self._limits: dict[str, int] = {
            "max_side": whole(1)("max_side", max_side),
            "max_bytes": whole(1)("max_image_bytes", max_image_bytes),
        }
        most = whole(1)("max_images", max_images)
        group = image_tools if isinstance(image_tools, str) else None
        if group is not None and not _GROUP.fullmatch(group):
            raise DefinitionError(
                f"image_tools is True, False, or a word that begins the names of the tools, not "
                f"{image_tools!r}"
            )
        self._tools = ImageTools(
            self._files,
            links=results == "link",
            max_images=most,
            group=group,
            first=self._first_of_own if group is not None else lambda edits: None,
        )
        self._has_tools = group is not None or flag("image_tools", image_tools)
        self._task = task
        if generate is not None:
            self._add(_UNNAMED, _backend_of(generate), {}, answers_any_name=True)
        elif find_spec("PIL") is not None:
            stand_in = LimitedBackend(StandInBackend(), **self._limits)
            self.registry.add_stand_in(
                RegisteredModel(
                    STAND_IN,
                    image=stand_in,
                    description=_STAND_IN,
                    answers_any_name=True,
                )
            )
            self._add_tools(edits=True)
        else:
            logger.warning(
                "ImageRouter has no backend: install mcp-mount[images] or pass generate="
            )
        if results == "link" and self._has_tools:
            for template, media_type, read in self._tools.readers():
                self._add_reader(template, media_type, read)
        self._add_routes(most)

    @overload
    def backend(self, name: F, /) -> F: ...
    @overload
    def backend(
        self, name: str | None = None, *, edits: bool = False, **options: Unpack[ImageOptions]
    ) -> Callable[[F], F]: ...
    def backend(
        self, name: Any = None, *, edits: bool = False, **options: Unpack[ImageOptions]
    ) -> Any:
        """Register a function as an image backend.

        It takes an `ImageRequest`, or the prompt and the size (width, height); and a `Context` (a
        `SyncContext` in a `def`) if it wants one. It returns bytes, an `Image` or a PIL image. It
        may be a coroutine function, and a generator of either kind that yields `PartialImage` and
        then the whole picture.

        Args:
            name: The name of the backend; by default that of the function.
            edits: Whether it edits pictures: `request.images`.
            options: What is declared of the backend, and its policies.

        Raises:
            DefinitionError: For a function that cannot be a backend, a name that is taken, an
                option that does not exist or cannot have its value.
        """
        flag("edits", edits)
        if callable(name):
            self._add(name_of(name), FunctionBackend(name, edits=edits), options)
            return name

        def register(function: F) -> F:
            own = name or name_of(function)
            self._add(own, FunctionBackend(function, edits=edits), options)
            return function

        return register

    def add_backend(
        self,
        name: str,
        backend: ImageBackend | Callable[..., Any],
        **options: Unpack[ImageOptions],
    ) -> None:
        """Register an image backend.

        Args:
            name: Its name.
            backend: What draws: an `ImageBackend`, such as `OpenAIImages`, or a function as for
                `backend`.
            options: As those of `backend`.

        Raises:
            DefinitionError: As `backend`.
        """
        self._add(name, _backend_of(backend), options)

    def _add(
        self, name: str, backend: ImageBackend, options: Any, *, answers_any_name: bool = False
    ) -> None:
        refuse_unknown("an image backend has no option", options, ImageOptions.__annotations__)
        declared, rest = split(options)
        if not name or not isinstance(name, str):
            raise DefinitionError(f"an image backend needs a name, not {name!r}")
        aliases = list_of_names("aliases", rest.get("aliases", ()))
        limited = LimitedBackend(backend, **self._limits)
        entry = RegisteredModel(
            name,
            image=limited,
            description=rest.get("description"),
            rules=rules_of(declared),
            policies=policies_of(f"image:{name}", declared),
            answers_any_name=answers_any_name,
            price=_price_of(rest.get("price")),
        )
        self.registry.add_model(entry, aliases)
        self._add_tools(edits=limited.edits)

    def _first_of_own(self, edits: bool) -> str | None:
        """The first backend of this router; None without one."""
        for name, one in self.registry.models.items():
            if one.image is not None and (one.image.edits or not edits):
                return name
        return None

    def _add_tools(self, *, edits: bool) -> None:
        """Add the tools that are not there yet."""
        handlers: list[Callable[..., Any]] = [self._tools.generate_image]
        if edits:
            handlers.append(self._tools.edit_image)
        for handler in handlers:
            name = self._tools.name_of(handler)
            if self._has_tools and name not in self.registry.tools:
                hints = {"openWorldHint": True}
                add_asking_tool(self, handler, name=name, annotations=hints, task=self._task)

    def _add_reader(self, template: str, media_type: str, read: Callable[[str], bytes]) -> None:
        def picture(name: str) -> bytes:
            return read(name)

        self.resource(template, name="image", mime_type=media_type)(picture)

    def _add_routes(self, max_images: int) -> None:
        face = ImagesEndpoint(self.registry, self._files, max_images)
        route_class = route_class_of(self.registry)
        for path, method, endpoint, check, summary in (
            ("generations", "POST", face.generate, gate, "Generate images"),
            ("edits", "POST", face.edit, form_gate, "Edit images"),
            ("files/{name}", "GET", self._files.show, None, "Show an image"),
        ):
            self.add_api_route(
                f"/v1/images/{path}",
                endpoint,
                methods=[method],
                dependencies=[] if check is None else [Depends(check)],
                tags=["images"],
                summary=summary,
                response_model=None,
                openapi_extra={"requestBody": EDIT_BODY} if path == "edits" else None,
                route_class_override=route_class,
            )


def _backend_of(given: Any) -> ImageBackend:
    """What a user gave as a backend.

    Raises:
        DefinitionError: If it is none.
    """
    if callable(getattr(given, "draw", None)):
        other = unlike(given, ImageBackend)
        if other is not None:
            raise DefinitionError(
                f"an image backend has is_async, wants_context, edits and draw; {other} has not"
            )
        backend: ImageBackend = given
        return backend
    if not callable(given):
        raise DefinitionError(
            f"an image backend is a function, or an object with draw such as OpenAIImages(…), not "
            f"{given!r}"
        )
    return FunctionBackend(given)


def _price_of(given: float | Price | None) -> Pricing | None:
    """What a user gave as the price of pictures.

    Raises:
        DefinitionError: If it is none.
    """
    return given if given is None or isinstance(given, Price) else PicturePrice(given)
