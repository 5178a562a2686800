"""Text completions over HTTP, as older clients ask for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import ChatRequest
from mcp_mount.models import ChatCompletion, Finish, ModelError, Usage
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
