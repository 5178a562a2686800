"""How the responses of an endpoint become results: by its output schema, or as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcp_mount.calls.results import Result
from mcp_mount.features import content
from mcp_mount.features.tools import Output
from mcp_mount.openapi.responses import MAX_TEXT, value_of_response
from mcp_mount.schemas.fast_schema import fast_check, never_sure
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.schemas.json_schema import JSONSchema
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.logs import own_logger
from mcp_mount.wire.revisions import Revision

logger = own_logger("mcp_mount")


class ResponseOutput(Output):
    """How the responses of an endpoint become results: by its output schema, or as text.

    An endpoint may answer what its documentation does not promise (a response that it makes itself,
    another status). Such an answer is sent as text, since clients raise for structured content that
    does not fit. One warning is logged, and from then on the tool has no output schema.

    Args:
        schema: The schema of its answers; None for none.
        name: The name of the tool.

    Attributes:
        withdrawn: Called when the tool loses its schema.
    """

    def __init__(self, schema: Mapping[str, Any] | None, name: str) -> None:
        super().__init__(value_of_response, None, False)
        self._name = name
        self._is_object = False
        self.withdrawn: Callable[[], None] = lambda: None
        if schema is None:
            return
        whole = dict(schema)
        self._surely_fits = fast_check(whole)
        if self._surely_fits is never_sure:
            try:
                self._checked = _checked(whole)
            except DefinitionError as error:
                logger.warning("The tool %r has no output schema: %s", name, error)
                return
        # Else it is known to be a schema, and what checks it exactly is made when a value needs it:
        # that takes longer than all else of an endpoint.
        self.schema = whole
        self._is_object = whole.get("type") == "object"

    def fitting(self, value: Any) -> Any:
        """The value of a response, if it fits the schema; else text."""
        if self.schema is None or self._surely_fits(value):
            return value
        plain = not content.is_content(value)
        try:
            if self._checked is None:
                self._checked = _checked(self.schema)
            problems = self._checked.problems(value) if plain else ["the value: is no JSON"]
        except Exception as error:
            # A $ref within the schema that leads nowhere.
            problems = [f"the schema cannot be used: {error}"]
        if not problems:
            return value
        self.schema = None
        logger.warning(
            "The endpoint of the tool %r answers what its schema does not promise, so that it has "
            "no output schema any more: %s",
            self._name,
            problems[0][:MAX_TEXT],
        )
        self.withdrawn()
        if not plain:
            return value
        return value if isinstance(value, str) else encode(value).decode()

    def encode(self, value: Any, revision: Revision) -> Result:
        if self.schema is None:
            return super().encode(value, revision)
        return self.encode_structured(self.encode_data(value), revision)

    def encode_data(self, value: Any) -> bytes:
        return encode(value)


def _checked(schema: dict[str, Any]) -> JSONSchema:
    """What checks values exactly.

    Raises:
        DefinitionError: If it is not a schema, or jsonschema is not installed.
    """
    return JSONSchema(value_of_response, "output_schema", schema, "the value")
