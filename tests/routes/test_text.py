"""Text completions over HTTP, as older clients ask for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import ChatRequest
from mcp_mount.models import ChatCompletion, Delta, Finish, ModelError, Usage
from tests.routes.test_chat import build
from tests.routes.test_composition import get

URL = "/v1/completions"


def ask(*models: Any, **request: Any) -> Any:
    return get(build(*models), URL, "POST", json={"prompt": "Once"} | request)


def upper(request: ChatRequest) -> Iterator[Any]:
    yield from request.text.upper().split()
    yield Finish("length")
    yield Usage(1, 2)


def test_a_prompt_is_continued() -> None:
    whole = ask(upper, prompt="a b", model="upper", max_tokens=3).json()
    assert whole["object"] == "text_completion"
    assert whole["model"] == "upper"
    assert whole["choices"] == [
        {"index": 0, "text": "AB", "logprobs": None, "finish_reason": "length"}
    ]
    assert whole["usage"]["total_tokens"] == 3


def two(request: ChatRequest) -> ChatCompletion:
    said = f"{request.text}1"
    return ChatCompletion(said, others=[ChatCompletion(f"{request.text}2")], usage=Usage(1, 1))


@pytest.mark.parametrize("echo", [False, True])
def test_each_prompt_has_its_answers(echo: bool) -> None:
    expected = ["aa1", "aa2", "bb1", "bb2"] if echo else ["a1", "a2", "b1", "b2"]
    options: dict[str, Any] = {"prompt": ["a", "b"], "n": 2, "echo": echo}
    whole = ask(two, **options).json()
    assert [one["index"] for one in whole["choices"]] == [0, 1, 2, 3]
    assert [one["text"] for one in whole["choices"]] == expected
    assert whole["usage"]["total_tokens"] == 4
    streamed = ask(two, stream=True, stream_options={"include_usage": True}, **options)
    *lines, last = [one.removeprefix("data: ") for one in streamed.text.split("\n\n") if one]
    chunks = [json.loads(line) for line in lines]
    texts = ["", "", "", ""]
    for chunk in chunks:
        assert chunk["object"] == "text_completion"
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == expected
    assert (last, chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ("[DONE]", [], 4)


def streamed(*models: Any, **request: Any) -> list[dict[str, Any]]:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    answer = ask(*models, **options, **request)
    *lines, last = [one.removeprefix("data: ") for one in answer.text.split("\n\n") if one]
    assert last == "[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("given", [1, 2, 3])
def test_the_numbers_of_answers_tell_their_prompts_however_many_a_model_gives(given: int) -> None:
    def model(request: ChatRequest) -> ChatCompletion:
        others = [ChatCompletion(f"{request.text}{one}") for one in range(1, given)]
        return ChatCompletion(f"{request.text}0", others=others)

    options: dict[str, Any] = {"prompt": ["a", "b"], "n": 2, "echo": True}
    expected = {0: "aa0", 1: "aa1", 2: "bb0", 3: "bb1"}
    if given == 1:
        expected = {0: "aa0", 2: "bb0"}
    whole = ask(model, **options).json()
    assert {one["index"]: one["text"] for one in whole["choices"]} == expected
    texts: dict[int, str] = {}
    for chunk in streamed(model, **options):
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    assert texts == expected


def test_more_answers_to_one_prompt_than_were_asked_for_are_all_there() -> None:
    whole = ask(two, prompt="a", echo=True).json()
    assert [one["text"] for one in whole["choices"]] == ["aa1", "aa2"]
    chunks = streamed(two, prompt="a", echo=True)
    assert {one["index"] for chunk in chunks for one in chunk["choices"]} == {0, 1}


def test_pieces_that_a_model_keeps_are_not_changed() -> None:
    pieces = [Delta(text="x"), Delta(finish="stop")]
    chunks = streamed(lambda request: iter(pieces), prompt=["a", "b", "c"])
    indices = [one["index"] for chunk in chunks for one in chunk["choices"] if one["text"]]
    assert indices == [0, 1, 2]
    assert pieces == [Delta(text="x"), Delta(finish="stop")]


def test_usage_that_is_told_several_times_counts_once_for_each_prompt() -> None:
    def model(request: ChatRequest) -> Iterator[Any]:
        yield Usage(1, 0)
        yield "x"
        yield Usage(1, 1)

    assert streamed(model, prompt=["a", "b"])[-1]["usage"]["total_tokens"] == 4
    assert ask(model, prompt=["a", "b"]).json()["usage"]["total_tokens"] == 4


def test_places_in_a_text_count_what_is_before_them() -> None:
    def model(request: ChatRequest) -> Iterator[Delta]:
        for text in ("ab", "cd"):
            yield Delta(text=text, logprobs={"content": [{"token": text, "logprob": -1.0}]})

    places = [2, 4]
    [choice] = ask(model, prompt="xy", echo=True, logprobs=1).json()["choices"]
    assert choice["logprobs"]["text_offset"] == places
    chunks = streamed(model, prompt="xy", echo=True, logprobs=1)
    told = [one["logprobs"] for chunk in chunks for one in chunk["choices"] if one["logprobs"]]
    assert [place for one in told for place in one["text_offset"]] == places


def test_log_probabilities_have_the_older_form() -> None:
    seen: list[Any] = []

    def model(request: ChatRequest) -> ChatCompletion:
        seen.append(request.options())
        token = {"token": "ab", "logprob": -1.0, "top_logprobs": [{"token": "b", "logprob": -2.0}]}
        return ChatCompletion("abab", logprobs={"content": [token, token]})

    [choice] = ask(model, logprobs=1).json()["choices"]
    assert choice["logprobs"] == {
        "tokens": ["ab", "ab"],
        "token_logprobs": [-1.0, -1.0],
        "top_logprobs": [{"b": -2.0}, {"b": -2.0}],
        "text_offset": [0, 2],
    }
    assert seen == [{"logprobs": True, "top_logprobs": 1}]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"prompt": [1, 2]}, "tokens"),
        ({"prompt": [[1], [2]]}, "tokens"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_what_is_not_supported_is_refused(request_: dict[str, Any], word: str) -> None:
    answer = ask(upper, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert word in error["message"]


def test_nulls_and_an_empty_suffix_count_as_left_out() -> None:
    options = {"suffix": None, "best_of": None, "stop": None, "echo": None, "logprobs": None}
    assert ask(upper, **options).status_code == 200
    assert ask(upper, suffix="", best_of=1, stop="x").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_has_its_status(stream: bool) -> None:
    def model(request: ChatRequest) -> str:
        raise ModelError("Come later", status=503, retry_after=2)

    answer = ask(model, stream=stream)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Come later")


def test_a_later_prompt_that_fails_ends_the_stream_with_an_error() -> None:
    def model(request: ChatRequest) -> str:
        if request.text == "b":
            raise ModelError("No", status=400)
        return "x"

    *_, error, done, end = ask(model, prompt=["a", "b"], stream=True).text.split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["message"] == "No"
    assert (done, end) == ("data: [DONE]", "")
