"""Requests to edit pictures: forms with files, and JSON with data: URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fastapi import HTTPException, Request
from pydantic_core import from_json
from starlette.datastructures import FormData, UploadFile

from mcp_mount.backends.images.pictures import media_type_of
from mcp_mount.llm.images import ImageRequest, Picture
from mcp_mount.routes.errors import unfit
from mcp_mount.routes.gate import FORM
from mcp_mount.wire.data_urls import data_url

_MAX_FIELDS: Final = 50
_MAX_FIELD_BYTES: Final = 256 * 1024
_IMAGES: Final = ("image", "image[]", "images", "images[]")
_FILES: Final = frozenset({*_IMAGES, "mask"})


_FILE: Final = {"type": "string", "format": "binary"}

EDIT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "required": ["prompt", "image"],
                "properties": {
                    "prompt": {"type": "string", "minLength": 1},
                    "image": {"type": "array", "items": _FILE, "minItems": 1},
                    "mask": _FILE,
                    "model": {"type": "string"},
                    "n": {"type": "integer", "minimum": 1, "maximum": 10},
                    "size": {"type": "string"},
                    "quality": {"type": "string"},
                    "background": {"enum": ["transparent", "opaque", "auto"]},
                    "output_format": {"enum": ["png", "jpeg", "webp"]},
                    "response_format": {"enum": ["b64_json", "url"]},
                    "stream": {"type": "boolean"},
                },
            }
        }
    },
}
"""The body as the OpenAPI document tells it."""


async def edit_request(request: Request, max_images: int) -> ImageRequest:
    """The request to edit pictures that an HTTP request has.

    Args:
        request: The request; its body is of limited size.
        max_images: How many pictures it may have, besides the mask.

    Raises:
        HTTPException: 400 for a body that cannot be read, 503 if forms cannot.
        RequestValidationError: For files that do not fit.
        ValidationError: For fields that do not fit.
    """
    if request.headers.get("content-type", "").lower().startswith(FORM):
        form = await _form(request, max_images)
        try:
            fields, images, mask = await _read(form)
        finally:
            await form.close()
    else:
        data = _json(await request.body())
        fields = {name: one for name, one in data.items() if name not in _FILES}
        given = next((data[name] for name in _IMAGES if data.get(name) is not None), ())
        several = given if isinstance(given, list) else [given] if given else []
        if len(several) > max_images:
            raise unfit("image", f"At most {max_images} pictures")
        images = [picture_in("image", one) for one in several]
        masked = data.get("mask")
        mask = None if masked is None else picture_in("mask", masked)
    if not images:
        raise unfit("image", "A picture to edit is missing")
    wanted = ImageRequest.model_validate(fields)
    return wanted.with_files(images, mask)


async def _read(form: FormData) -> tuple[dict[str, Any], list[Picture], Picture | None]:
    """The fields, the pictures and the mask of a form."""
    fields: dict[str, Any] = {}
    images: list[Picture] = []
    mask = None
    for name, one in form.multi_items():
        if name in _IMAGES:
            images.append(await _uploaded("image", one))
        elif name == "mask":
            mask = await _uploaded("mask", one)
        elif not isinstance(one, str):
            raise unfit(name[:100], "This is no file")
        elif one:
            # Forms have no null: an empty field is left out.
            fields[name] = one
    return fields, images, mask


async def _form(request: Request, max_images: int) -> FormData:
    try:
        from starlette.formparsers import MultiPartException, MultiPartParser

        async def body() -> AsyncIterator[bytes]:
            yield await request.body()

        parser = MultiPartParser(
            request.headers,
            body(),  # type: ignore[arg-type]
            max_files=max_images + 1,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
    except (ImportError, AssertionError):
        raise HTTPException(
            503, "This server cannot read forms: install mcp-mount[images], or send JSON"
        ) from None
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"The form cannot be read: {error.message}") from None
    except Exception:
        # python-multipart has errors of its own for each state; a boundary that is missing is a
        # KeyError of Starlette.
        raise HTTPException(400, "The form cannot be read") from None


async def _uploaded(param: str, value: UploadFile | str) -> Picture:
    if isinstance(value, str):
        return picture_in(param, value)
    return _picture(param, await value.read())


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise HTTPException(400, "The body is no JSON") from None
    if not isinstance(data, dict):
        raise HTTPException(400, "The body is no JSON object")
    return data


def picture_in(param: str, value: Any) -> Picture:
    """The picture in a data: URL, or in an object with one.

    Args:
        param: The parameter, for errors.
        value: The URL, or `{"image_url": …}`.

    Raises:
        RequestValidationError: If there is none.
    """
    if isinstance(value, Mapping):
        value = value.get("image_url")
        if isinstance(value, Mapping):
            value = value.get("url")
    if not isinstance(value, str):
        raise unfit(param, "A picture is a file of the form, or a data: URL")
    try:
        url = data_url(value)
        if url is None:
            # Nothing is fetched for clients: what they name may be within this network.
            raise unfit(param, "A picture is a file of the form, or a data: URL in Base64")
        data = url.data()
    except ValueError:
        raise unfit(param, "The data: URL is no Base64") from None
    return _picture(param, data)


def _picture(param: str, data: bytes) -> Picture:
    media_type = media_type_of(data)
    if media_type is None:
        raise unfit(param, "A picture is a PNG, JPEG or WebP")
    return Picture(data, media_type)
