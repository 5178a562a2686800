"""The body of a request: its fields as arguments, and its bytes by its media type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from pydantic_core import to_json

from mcp_mount.openapi.fields import fields_of
from mcp_mount.openapi.parameters import joined, text_of, texts
from mcp_mount.openapi.references import Needs, References
from mcp_mount.openapi.uploads import MULTIPART, Part, file_schema, is_file, multipart, upload_of
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.messages import JSON

FORM: Final = "application/x-www-form-urlencoded"


class ArgumentNaming(Protocol):
    """Gives arguments their names."""

    def add(self, name: str, place: str) -> str: ...
    def has(self, name: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body.

    Attributes:
        schema: As the document has it.
        is_file: Whether it is a file, or an array of files.
    """

    name: str
    schema: Any
    is_file: bool = False
    is_array: bool = False
    encoding: Mapping[str, Any] | None = None


class Payload:
    """The body of the requests for an operation.

    Attributes:
        kind: Its media type.
        fields: By the names of their arguments, if they stand side by side with the parameters.
        single: The argument that is the whole body, otherwise.
        root: The schema of the whole body.
        required: The arguments that it needs.
        is_optional: Whether it may be left out as a whole, so that it needs them only if some of
            its fields are given.
    """

    def __init__(
        self,
        kind: str,
        root: Any,
        *,
        fields: Mapping[str, Field] | None = None,
        single: str | None = None,
        required: list[str],
        is_optional: bool = False,
    ) -> None:
        self._kind = kind
        self._root = root
        self._fields = fields or {}
        self._single = single
        self._is_json = _is_json(kind)
        self._is_optional = is_optional
        self.required = [] if is_optional else required
        self.required_together = required if is_optional else []

    def dependent(self) -> dict[str, list[str]]:
        """The arguments that each of its fields needs beside itself, as `dependentRequired`."""
        needed = self.required_together
        each = {name: [one for one in needed if one != name] for name in self._fields}
        return {name: others for name, others in each.items() if others}

    def properties(self, references: References, needs: Needs) -> dict[str, Any]:
        """The schemas of its arguments.

        Args:
            references: Resolves references of the document.
            needs: Collects what the schemas refer to.

        Raises:
            DefinitionError: If they refer to something that does not exist.
        """
        if self._single is not None:
            if self._is_json:
                return {self._single: references.part(self._root, needs, is_sent=True)}
            return {self._single: _text_schema(self._kind, self._root)}
        found: dict[str, Any] = {}
        root = references.resolved(self._root)
        for name, one in self._fields.items():
            if one.is_file:
                file = file_schema(references.resolved(one.schema))
                found[name] = {"type": "array", "items": file} if one.is_array else file
            else:
                found[name] = references.part(one.schema, needs, is_sent=True, root=root)
        return found

    def body(self, arguments: Mapping[str, Any]) -> tuple[bytes | None, str]:
        """The body for some arguments, and its media type.

        Args:
            arguments: By their names.

        Raises:
            InvalidArguments: If a file is not one.
        """
        if self._single is not None:
            if self._single not in arguments:
                return None, self._kind
            return self._whole(arguments[self._single])
        given = {name: arguments[name] for name in self._fields if name in arguments}
        if self._is_optional and not given:
            return None, self._kind
        if self._is_json:
            fields = {self._fields[name].name: one for name, one in given.items()}
            return to_json(fields), self._kind
        if self._kind == FORM:
            pairs = [
                (self._fields[name].name, text)
                for name, one in given.items()
                for text in _form_texts(name, self._fields[name], one)
            ]
            return urlencode(pairs, errors="replace").encode(), FORM
        return multipart(
            part for name, one in given.items() for part in _parts(name, self._fields[name], one)
        )

    def _whole(self, value: Any) -> tuple[bytes, str]:
        if self._is_json:
            return to_json(value), JSON if "*" in self._kind else self._kind
        if _is_text(self._kind):
            kind = self._kind if "charset" in self._kind else f"{self._kind}; charset=utf-8"
            return text_of(value).encode(errors="replace"), kind
        upload = upload_of(str(self._single), value)
        return upload.data, upload.content_type if "*" in self._kind else self._kind


def payload_of(
    described: Mapping[str, Any], references: References, names: ArgumentNaming
) -> Payload | None:
    """The body that a `requestBody` describes.

    Args:
        described: With its reference followed.
        references: Those of the document.
        names: Of the arguments that there are already; gets those of the body.

    Returns:
        None if it describes none.

    Raises:
        DefinitionError: For one that no tool can send.
    """
    content: Mapping[str, Any] = described["content"]
    kinds = [kind for kind in content if isinstance(kind, str) and "/" in kind]
    if not kinds:
        return None
    kind = min(kinds, key=_order)
    media = references.resolved(content[kind])
    root = media.get("schema") if isinstance(media, Mapping) else None
    root = {} if root is None else root
    is_required = described.get("required") is True
    # The default is False, but many documents forget to say that a body is required: one whose
    # fields are required counts as such, unless it is said to be optional.
    is_optional = described.get("required") is False
    if _is_json(kind):
        known = fields_of(references, root)
        if known is not None and not any(map(names.has, known[0])):
            fields = {names.add(name, "body"): Field(name, one) for name, one in known[0].items()}
            required = [name for name, one in fields.items() if one.name in known[1]]
            return Payload(kind, root, fields=fields, required=required, is_optional=is_optional)
    elif kind.partition(";")[0].strip().lower() in (FORM, MULTIPART):
        plain = kind.partition(";")[0].strip().lower()
        return _form(plain, root, media, references, names, is_optional=is_optional)
    single = names.add("body", "request")
    return Payload(kind, root, single=single, required=[single] if is_required else [])


def _form(
    kind: str,
    root: Any,
    media: Mapping[str, Any],
    references: References,
    names: ArgumentNaming,
    *,
    is_optional: bool,
) -> Payload:
    known = fields_of(references, root)
    if known is None:
        raise DefinitionError(f"it takes {kind}, but its document names no fields of it")
    encodings = media.get("encoding")
    fields: dict[str, Field] = {}
    for name, schema in known[0].items():
        found = references.resolved(schema)
        items = found.get("items") if isinstance(found, Mapping) else None
        is_array = is_file(references.resolved(items))
        encoding = encodings.get(name) if isinstance(encodings, Mapping) else None
        fields[names.add(name, "form")] = Field(
            name,
            schema,
            kind == MULTIPART and (is_array or is_file(found)),
            is_array,
            encoding if isinstance(encoding, Mapping) else None,
        )
    required = [name for name, one in fields.items() if one.name in known[1]]
    return Payload(kind, root, fields=fields, required=required, is_optional=is_optional)


def _order(kind: str) -> int:
    """Which media type is taken of several: the first that a model writes best."""
    plain = kind.partition(";")[0].strip().lower()
    known = [plain == JSON, _is_json(plain), plain == FORM, plain == MULTIPART, _is_text(plain)]
    return known.index(True) if True in known else len(known)


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain in (JSON, "*/*", "application/*") or plain.endswith("+json")


def _is_text(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain.startswith("text/") or plain.endswith(("xml", "yaml", "json-seq", "ndjson"))


def _text_schema(kind: str, root: Any) -> dict[str, Any]:
    if not _is_text(kind):
        return file_schema(root)
    said = root.get("description") if isinstance(root, Mapping) else None
    text = said if isinstance(said, str) and said else "The whole body"
    return {"type": "string", "description": f"{text} ({kind})"}


def _form_texts(argument: str, field: Field, value: Any) -> list[str]:
    if field.encoding is not None and field.encoding.get("explode") is False:
        return [joined(argument, texts(value), ",")] if texts(value) else []
    return texts(value)


def _parts(argument: str, field: Field, value: Any) -> list[Part]:
    """The parts of a form for one field; a list as several, None as none."""
    if value is None:
        return []
    kind = field.encoding.get("contentType") if field.encoding is not None else None
    kind = kind if isinstance(kind, str) and "*" not in kind and "," not in kind else None
    values = value if isinstance(value, list) else [value]
    if field.is_file:
        return [Part(field.name, upload_of(argument, one, kind)) for one in values]
    if kind is not None and _is_json(kind):
        return [Part(field.name, to_json(value).decode(), kind)]
    return [
        Part(field.name, text_of(one), JSON if isinstance(one, dict | list) else kind)
        for one in values
        if one is not None
    ]
