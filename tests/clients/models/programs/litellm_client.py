"""LiteLLM as a client.

python litellm_client.py URL
"""

from __future__ import annotations

import sys
import time
from typing import Any

import litellm
from reporting import WEATHER, Report

litellm.suppress_debug_info = True
report = Report()
own: dict[str, Any] = {"api_base": sys.argv[1], "api_key": "none", "timeout": 20}
HELLO = [{"role": "user", "content": "Hello world"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


@report.see("chat")
def whole() -> Any:
    answer = litellm.completion(model="openai/echo", messages=HELLO, **own)
    return [answer.choices[0].message.content, answer.usage.total_tokens]


@report.see("stream")
def stream() -> Any:
    chunks = litellm.completion(model="openai/echo", messages=HELLO, stream=True, **own)
    return "".join(one.choices[0].delta.content or "" for one in chunks)


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


report.print()
