"""Encoding as JSON that every reader accepts: RFC 8259, in UTF-8.

Python has values that look like JSON and have no place in it. NaN and the infinities are refused:
`NaN` on the wire breaks parsers, and null in its place is another value. Lone surrogates, as they
come from file names or broken input, are replaced by U+FFFD, with a warning in the log. Bytes in
data without a type are text where they are UTF-8, and Base64 where they are not.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from math import isfinite
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json, to_json

from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MAY_OVERFLOW: Final = re.compile(rb"[0-9.][eE]\+?[0-9]{3}|[0-9]{200}")
"""A float ends at 1.8e308: with fewer digits, in the number or in its exponent, it is in reach."""

_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class NotFinite(ValueError):
    """A value with NaN or an infinity in it, which JSON does not have."""


def encode(value: Any) -> bytes:
    """Encode plain data, models and dataclasses as JSON.

    Args:
        value: What is to be encoded.

    Returns:
        JSON in UTF-8.

    Raises:
        NotFinite: For NaN and infinities.
        ValueError: For a value that has no JSON form.
    """
    try:
        data = to_json(value)
    except ValueError as error:
        value = _replaced(value, error)
        data = to_json(value)
    if not isinstance(value, str):
        _check(data, lambda: _ANYTHING.dump_python(value))
    return data


def encode_model(value: BaseModel) -> bytes:
    """Encode a model of `mcp_types`: by alias, without members that are None.

    Args:
        value: The model.

    Raises:
        NotFinite: For NaN and infinities.
        ValueError: For a value that has no JSON form.
    """

    try:
        data: bytes = value.__pydantic_serializer__.to_json(value, by_alias=True, exclude_none=True)
    except ValueError as error:
        plain = value.model_dump(mode="json", by_alias=True, exclude_none=True)
        data = to_json(_replaced(plain, error))
    _check(data, lambda: value.model_dump(by_alias=True, warnings=False))
    return data


def encode_typed(adapter: TypeAdapter[Any], value: Any, *, is_open: bool = True) -> bytes:
    """Encode a value by the serialiser of its type.

    Args:
        adapter: The adapter of the type, which encodes NaN and infinities as they are.
        value: The value.
        is_open: Whether the type leaves open what is in some place, where models may be, which
            encode NaN and infinities as null.

    Raises:
        NotFinite: For NaN and infinities.
        ValueError: For a value that has no JSON form.
    """

    try:
        # The adapter's own method looks at its many arguments first, for longer than this takes.
        data = adapter.serializer.to_json(value, by_alias=True)
    except ValueError as error:
        plain = adapter.dump_python(value, mode="json", by_alias=True, warnings=False)
        data = to_json(_replaced(plain, error))
    if is_open or may_have_no_numbers(data):
        _check(data, lambda: adapter.dump_python(value, by_alias=True, warnings=False))
    return data


def without_surrogates(text: str) -> str:
    """A text with its lone surrogates replaced by U+FFFD; a pair becomes the character it means."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _check(data: bytes, plain: Callable[[], Any]) -> None:
    """Refuse encoded data that came from values with NaN or infinities.

    pydantic writes them as they are in plain data, and as null in the fields of models. The values
    themselves are looked at only if the text gives a reason to.

    Args:
        data: The encoded data.
        plain: Returns the values as Python has them: for JSON, pydantic makes None of some.

    Raises:
        NotFinite: If there are any.
    """
    place: str | None = None
    if may_have_no_numbers(data):
        place = next(_not_finite(from_json(data), ""), None)
    if place is None:
        if not may_have_no_numbers(data) and b"null" not in data:
            return
        values = plain()
        try:
            if not may_have_no_numbers(to_json(values)):
                return
        except ValueError:
            # Surrogates that have been replaced in the data, or what only its type can encode.
            pass
        place = next(_not_finite(values, ""), None)
    if place is not None:
        where = f" at {place.lstrip('.')}" if place else ""
        raise NotFinite(f"The value has NaN or an infinity{where}, which JSON does not have")


def may_have_no_numbers(data: bytes) -> bool:
    """Whether NaN or an infinity may be in encoded data; the words may also be in a text."""
    return b"NaN" in data or b"Infinity" in data


def may_not_be_finite(data: bytes) -> bool:
    """Whether JSON that a client has written may have NaN, an infinity, or a number that is too
    large for a float and is read as an infinity. What looks so may also be in a text.

    Args:
        data: The JSON.
    """
    return may_have_no_numbers(data) or _MAY_OVERFLOW.search(data) is not None


def is_finite(value: Any) -> bool:
    """Whether plain data has neither NaN nor infinities.

    Args:
        value: The data.
    """
    return next(_not_finite(value, ""), None) is None


def refuse_not_finite(data: bytes) -> None:
    """Refuse JSON with NaN, infinities, or numbers that are read as infinities.

    Args:
        data: The JSON.

    Raises:
        NotFinite: If it has any.
        ValueError: If it is no JSON.
    """
    place = next(_not_finite(from_json(data, allow_inf_nan=False), ""), None)
    if place is not None:
        where = f" at {place.lstrip('.')}" if place else ""
        raise NotFinite(f"The number{where} is too large")


def _not_finite(value: Any, place: str) -> Iterator[str]:
    """The places of all NaN and infinities in plain data."""
    if isinstance(value, float):
        if not isfinite(value):
            yield place
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _not_finite(member, f"{place}.{key}")
    elif isinstance(value, list | tuple | set | frozenset | deque):
        for number, item in enumerate(value):
            yield from _not_finite(item, f"{place}.{number}")


def _replaced(value: Any, error: ValueError) -> Any:
    """A value as plain data that can be encoded. Raises `error` for one that does not change."""
    found: list[str | bytes] = []
    plain = _encodable(value, found)
    if not found:
        raise error
    texts = [one for one in found if isinstance(one, str)]
    if texts:
        logger.warning(
            "%d texts in a message have lone surrogates, which UTF-8 cannot carry; they were "
            "replaced by U+FFFD. The first one: %s",
            len(texts),
            ascii(texts[0][:100]),
        )
    return plain


def _encodable(value: Any, found: list[str | bytes]) -> Any:
    """A value as plain data, and what of it had to change in `found`."""
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            found.append(bytes(value))
            return base64.b64encode(value).decode()
    if isinstance(value, str):
        text = without_surrogates(value)
        if text != value:
            found.append(value)
        return text
    if isinstance(value, Mapping):
        return {_encodable(key, found): _encodable(member, found) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(item, found) for item in value]
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return _encodable(_ANYTHING.dump_python(value, by_alias=True), found)
    return value
