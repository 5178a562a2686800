"""LiteLLM as a client.

python litellm_client.py URL
"""

from __future__ import annotations

import base64
import sys
import time
from io import BytesIO
from typing import Any

import litellm
from pydantic import BaseModel
from reporting import WEATHER, Report, until

litellm.suppress_debug_info = True
report = Report()
own: dict[str, Any] = {"api_base": sys.argv[1], "api_key": "none", "timeout": 20}
HELLO = [{"role": "user", "content": "Hello world"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


class Person(BaseModel):
    name: str
    age: int


@report.see("chat")
def whole() -> Any:
    answer = litellm.completion(model="openai/echo", messages=HELLO, **own)
    return answer.choices[0].message.content


@report.see("stream")
def stream() -> Any:
    chunks = litellm.completion(model="openai/echo", messages=HELLO, stream=True, **own)
    return "".join(one.choices[0].delta.content or "" for one in chunks)


@report.see("stream helper")
def built() -> Any:
    chunks = litellm.completion(model="openai/echo", messages=HELLO, stream=True, **own)
    return litellm.stream_chunk_builder(list(chunks)).choices[0].message.content


@report.see("usage")
def usage() -> Any:
    whole = litellm.completion(model="openai/echo", messages=HELLO, **own)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = litellm.completion(model="openai/echo", messages=HELLO, **options, **own)
    streamed = [one.usage.total_tokens for one in chunks if getattr(one, "usage", None)]
    return [whole.usage.total_tokens, streamed]


@report.see("schema")
def schema() -> Any:
    answer = litellm.completion(model="openai/typed", messages=HELLO, response_format=Person, **own)
    return Person.model_validate_json(answer.choices[0].message.content).age


@report.see("reasoning")
def reasoning() -> Any:
    answer = litellm.completion(model="openai/thinker", messages=HELLO, **own)
    return answer.choices[0].message.reasoning_content


@report.see("parallel tools")
def tools() -> Any:
    messages = [{"role": "user", "content": "Paris Rome"}]
    answer = litellm.completion(model="openai/caller", messages=messages, tools=[TOOL], **own)
    return [one.function.arguments for one in answer.choices[0].message.tool_calls]


@report.see("embeddings")
def embeddings() -> Any:
    answer = litellm.embedding(model="openai/vectors", input=["abc", "a"], **own)
    return [one["embedding"] for one in answer.data]


@report.see("responses")
def responses() -> Any:
    answer = litellm.responses(model="openai/echo", input="Hello world", **own)
    return answer.output[0].content[0].text


@report.see("images")
def images() -> Any:
    answer = litellm.image_generation(model="openai/stand-in", prompt="A cat", n=2, **own)
    return [len(answer.data), answer.data[0].b64_json[:5]]


@report.see("image edits")
def edits() -> Any:
    drawn = litellm.image_generation(model="openai/stand-in", prompt="A cat", **own)
    file = BytesIO(base64.b64decode(drawn.data[0].b64_json))
    answer = litellm.image_edit(model="openai/stand-in", image=file, prompt="A hat", **own)
    return answer.data[0].b64_json[:5]


@report.see("retry")
def retried() -> Any:
    messages = [{"role": "user", "content": f"{time.time()}"}]
    answer = litellm.completion(model="openai/busy", messages=messages, num_retries=2, **own)
    return answer.choices[0].message.content


@report.see("errors")
def errors() -> Any:
    try:
        litellm.completion(model="openai/nobody", messages=HELLO, **own)
    except litellm.NotFoundError as error:
        return type(error).__name__


@report.see("leaving")
def leaving() -> Any:
    for name in ("endless", "endless-plain"):
        stream = litellm.completion(model=f"openai/{name}", messages=HELLO, stream=True, **own)
        next(stream)
        stream.completion_stream.response.close()
    messages = [{"role": "user", "content": "open"}]

    def state() -> Any:
        answer = litellm.completion(model="openai/state", messages=messages, **own)
        return answer.choices[0].message.content

    return until("0", state)


report.print()
