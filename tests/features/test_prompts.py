"""Prompts: arguments that are strings on the wire, whatever their types are."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mcp_mount import DefinitionError, MCPServer
from tests.requests import Session, ask


class Range(BaseModel):
    low: int
    high: int = 9


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize(
    ("annotation", "sent", "gets"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Range, '{"low": 1}', Range(low=1)),
        (list[Range] | None, '[{"low": 1, "high": 2}]', [Range(low=1, high=2)]),
        (int, "5", 5),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (date, "2026-07-28", date(2026, 7, 28)),
        (Literal[1, 2], "2", 2),
        (int | None, "null", None),
        (str, "[1, 2]", "[1, 2]"),
        (str | list[int], "[1, 2]", "[1, 2]"),
        (str | int, "5", "5"),
        # What clients send that do not know better.
        (list[int], [1, 2], [1, 2]),
    ],
)
def test_typed_arguments_are_read_out_of_strings(
    annotation: Any, sent: Any, gets: Any, revision: str
) -> None:
    server = MCPServer("tests")
    got: list[Any] = []

    def analyze(given: Any) -> str:
        got.append(given)
        return "Analyze"

    analyze.__annotations__["given"] = annotation
    server.prompt(analyze)
    params = {"name": "analyze", "arguments": {"given": sent}}
    if revision == "2026-07-28":
        answer = ask(server, "prompts/get", params)
    else:
        answer = Session(server, revision).ask("prompts/get", params)
    assert "error" not in answer, answer
    assert got == [gets]
    assert type(got[0]) is type(gets)


def test_what_does_not_fit_is_told_by_its_place() -> None:
    server = MCPServer("tests")

    @server.prompt
    def analyze(numbers: list[int]) -> str:
        return str(numbers)

    for sent, words in (
        ("1, 2", "numbers: Input should be a valid list"),
        ('[1, "x"]', "numbers.1: Input should be a valid integer"),
    ):
        params = {"name": "analyze", "arguments": {"numbers": sent}}
        error = ask(server, "prompts/get", params)["error"]
        assert error["code"] == -32602
        assert words in error["message"]


def test_arguments_that_must_be_json_are_described_by_their_schemas() -> None:
    server = MCPServer("tests")

    @server.prompt
    def analyze(numbers: list[int], range: Range, title: str, count: int = 1) -> str:
        """Analyze.

        Args:
            numbers: Some numbers.
            title: The title.
        """
        return ""

    [prompt] = ask(server, "prompts/list")["result"]["prompts"]
    described = {one["name"]: one.get("description") for one in prompt["arguments"]}
    assert described["numbers"] == (
        'Some numbers.\nJSON by this schema: {"items":{"type":"integer"},"type":"array"}'
    )
    assert described["range"].startswith('JSON by this schema: {"$ref":"#/$defs/Range","$defs":')
    assert (described["title"], described["count"]) == ("The title.", None)


def test_a_completer_of_an_argument_that_its_prompt_does_not_have_is_refused() -> None:
    server = MCPServer("tests")

    @server.prompt
    def recommend(genre: str) -> str:
        return genre

    with pytest.raises(DefinitionError, match="has no argument 'gerne'; did you mean 'genre'"):
        server.completion("recommend", "gerne")(lambda completion: [])


def test_so_is_a_prompt_that_comes_after_a_completer_of_another_argument() -> None:
    server = MCPServer("tests")
    server.completion("recommend", "gerne")(lambda completion: [])
    with pytest.raises(DefinitionError, match="has no argument 'gerne'; did you mean 'genre'"):

        @server.prompt
        def recommend(genre: str) -> str:
            return genre


def test_a_completer_of_a_prompt_that_never_comes_is_logged_at_the_first_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MCPServer("tests", open=True)
    server.completion("recomend", "genre")(lambda completion: [])

    @server.prompt
    def recommend(genre: str) -> str:
        return genre

    ask(server, "prompts/list")
    assert "completes 'genre' of 'recomend', and there is no such prompt" in caplog.text
    assert "did you mean 'recommend'?" in caplog.text
