"""An OpenAPI document: its operations, their arguments and their answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from mcp_mount.openapi.headers import FORWARDED, OF_THE_REQUEST
from mcp_mount.openapi.operations import METHODS, Operation, path_shape
from mcp_mount.openapi.references import References, without_required
from mcp_mount.openapi.requests import OperationArguments
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.messages import JSON

Knows = Callable[[str, str], bool]
"""Whether an application has a route: by its method ("GET") and its path, with parameters as in the
document ("/orders/{id}")."""


_PARAMETER: Final = re.compile(r"{([^{}]*)}")


class Document:
    """An OpenAPI document (3.x).

    Args:
        document: The document, as data.
        routed: The paths of routes, without `prefix`, in which a parameter for several segments is
            marked, `{name:path}`; paths without any may be missing.
        prefix: Where its application is mounted in the whole one; its parameters are arguments,
            too.
        unshaped: Operations, as (path, method), whose answers may lack what their schemas require.
        unnamed: Operations whose answers have other names than their schemas.
        enforces: Returns whether the framework enforces the response schema of an operation.
        knows: Returns whether the application has a route, to tell whether the paths of `servers`
            are a part of its own paths; None to believe `servers`.

    Raises:
        DefinitionError: If it is not such a document.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        routed: Iterable[str] = (),
        *,
        prefix: str = "",
        unshaped: Collection[tuple[str, str]] = (),
        unnamed: Collection[tuple[str, str]] = (),
        enforces: Callable[[tuple[str, str]], bool] = lambda where: False,
        knows: Knows | None = None,
    ) -> None:
        self._document = _read(document)
        self._references = References(self._document)
        # Of two that differ in marks only, as routes of two methods may, the wide one counts.
        self._routed = {one.replace(":path}", "}"): one for one in sorted(routed, key=_is_wide)}
        self._routed_shapes = {path_shape(one): marked for one, marked in self._routed.items()}
        self._prefix = prefix
        self._unshaped = unshaped
        self._unnamed = unnamed
        self._enforces = enforces
        self._knows = knows
        self.unreadable: dict[str, str] = {}
        """Paths whose operations cannot be read, with the reason."""
        self._operations = list(self._found())

    def operations(self) -> Sequence[Operation]:
        """All its operations."""
        return self._operations

    def _found(self) -> Iterator[Operation]:
        for path, given in self._document["paths"].items():
            if not path.startswith("/"):
                # Extensions ("x-…") stand among the paths, and may hold anything.
                continue
            try:
                item = self._references.resolved(given)
            except DefinitionError as error:
                self.unreadable[self._prefix + path] = str(error)
                continue
            if not isinstance(item, Mapping):
                continue
            for method in METHODS:
                if isinstance(item.get(method), Mapping):
                    yield self._operation(path, method, item)

    def _operation(self, path: str, method: str, item: Mapping[str, Any]) -> Operation:
        own: Mapping[str, Any] = item[method]
        try:
            # The specification has no references here, but documents of several files do.
            found = self._references.resolved(own)
            own = found if isinstance(found, Mapping) else {}
        except DefinitionError as error:
            return Operation(self._prefix + path, method, {}, self._prefix, str(error))
        both = [item.get("parameters"), own.get("parameters")]
        parameters = [one for some in both if isinstance(some, list) for one in some]
        base, problem = self._base(path, method, own, item)
        return Operation(
            self._prefix + base + path,
            method,
            {**own, "parameters": parameters},
            self._prefix + base,
            problem,
        )

    def _base(self, path: str, method: str, *levels: Mapping[str, Any]) -> tuple[str, str | None]:
        """The prefix of the document's paths, and why an operation cannot be called."""
        bases: list[str] = []
        for level in (*levels, self._document):
            if isinstance(level.get("servers"), list) and level["servers"]:
                bases = [_server_path(one) for one in level["servers"]]
                break
        if self._knows is None:
            return (bases or [""])[0], None
        for base in dict.fromkeys([*bases, ""]):
            if self._knows(method.upper(), base + path):
                return base, None
        return "", "the application has no such route"

    def arguments(self, operation: Operation, forward: Collection[str]) -> OperationArguments:
        """The arguments of an operation.

        Args:
            operation: The operation.
            forward: Headers that are no arguments, since the caller's own are forwarded.

        Raises:
            DefinitionError: If a tool cannot send them.
        """
        if operation.problem is not None:
            raise DefinitionError(operation.problem)
        wide = self._wide(operation.path.removeprefix(self._prefix))
        try:
            return OperationArguments(
                operation, self._references, wide, {*FORWARDED, *forward, *OF_THE_REQUEST}
            )
        except RecursionError:
            raise DefinitionError("its schemas are nested too deeply") from None

    def _wide(self, path: str) -> set[str]:
        """The parameters of a path that may have several segments, as its route says."""
        marked = self._routed.get(path)
        if marked is None and self._knows is not None:
            # A document that somebody wrote may have other names than the routes.
            marked = self._routed_shapes.get(path_shape(path))
        both = zip(_PARAMETER.findall(path), _PARAMETER.findall(marked or ""), strict=False)
        return {own.partition(":")[0] for own, one in both if one.endswith(":path")}

    def output(self, operation: Operation, promised: bool | None) -> dict[str, Any] | None:
        """The schema of a successful answer; None if an answer may be something else.

        Args:
            operation: The operation.
            promised: Whether to believe the document; None if the framework must enforce it.
        """
        where = (operation.path.removeprefix(operation.prefix), operation.method)
        if not (self._enforces(where) if promised is None else promised):
            return None
        if where in self._unnamed:
            return None
        try:
            schema = self._answer(operation)
            alone = None if schema is None else self._references.alone(schema, is_sent=False)
        except (DefinitionError, RecursionError):
            # A tool without that promise is better than none.
            return None
        if alone is None or not alone.keys() - {"title", "description", "$defs"}:
            return None
        return without_required(alone) if where in self._unshaped else alone

    def _answer(self, operation: Operation) -> Any:
        """The schema of all answers of success."""
        found: list[Any] = []
        responses = operation.described.get("responses")
        for status, given in responses.items() if isinstance(responses, Mapping) else ():
            if not str(status).startswith("2"):
                continue
            response = self._references.resolved(given)
            content = response.get("content") if isinstance(response, Mapping) else None
            media = content.get(JSON) if isinstance(content, Mapping) else None
            schema = media.get("schema") if isinstance(media, Mapping) else None
            if not schema:
                return None
            if schema not in found:
                found.append(schema)
        if len(found) == 1:
            return self._references.resolved(found[0])
        return {"anyOf": found} if found else None


def _is_wide(path: str) -> bool:
    return ":path}" in path


def check_readable(document: Any, instead: str = "") -> None:
    """Refuse what is no OpenAPI document of a version that is read.

    Args:
        document: What a user gave.
        instead: What else the user of a host may do, as a sentence.

    Raises:
        DefinitionError: If it is none.
    """
    if not isinstance(document, Mapping):
        raise DefinitionError(
            "an OpenAPI document is given as data, such as json.loads(text), not as "
            f"{type(document).__name__}"
        )
    if "swagger" in document:
        raise DefinitionError(
            f"the document is of Swagger {document['swagger']}, which is not read: convert it to "
            "OpenAPI 3 (npx @scalar/cli document upgrade swagger.json, or converter.swagger.io). "
            f"{instead}".rstrip()
        )
    version = str(document.get("openapi", "3"))
    if version.partition(".")[0] != "3":
        raise DefinitionError(f"the document is of OpenAPI {version}; 3.0 and 3.1 are read")
    if not isinstance(document.get("paths"), Mapping):
        raise DefinitionError("the document has no paths: it is none of OpenAPI")


def _read(document: Any) -> Mapping[str, Any]:
    """A document as plain JSON: documents out of YAML have dates, and numbers as names."""
    check_readable(document)
    try:
        plain: Mapping[str, Any] = from_json(to_json(document, fallback=str))
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"the document has no JSON form: {error}") from None
    return plain


def _server_path(server: Any) -> str:
    """The path of a server's URL, without the slash at its end."""
    url = server.get("url") if isinstance(server, Mapping) else None
    if not isinstance(url, str):
        return ""
    variables = server.get("variables")
    for name, one in variables.items() if isinstance(variables, Mapping) else ():
        default = one.get("default") if isinstance(one, Mapping) else None
        url = url.replace(f"{{{name}}}", str(default if default is not None else ""))
    try:
        path = urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""
    # A relative one is relative to where the document is, which is not known here.
    return path if path.startswith("/") else ""
