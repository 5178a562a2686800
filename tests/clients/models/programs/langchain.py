"""langchain-openai.

python langchain.py URL
"""

from __future__ import annotations

import sys
import time
from typing import Any

import openai
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from reporting import Report, until

report = Report()


class Person(BaseModel):
    name: str
    age: int


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def model(name: str, **options: Any) -> Any:
    return ChatOpenAI(model=name, base_url=sys.argv[1], api_key="none", timeout=20, **options)


@report.see("chat")
def whole() -> Any:
    return model("echo").invoke("Hello world").content


@report.see("stream")
def stream() -> Any:
    return "".join(one.content for one in model("echo").stream("Hello world"))


@report.see("stream helper")
async def events() -> Any:
    kinds = {one["event"] async for one in model("echo").astream_events("Hello world")}
    return sorted(kinds)


@report.see("usage")
def usage() -> Any:
    whole = model("echo").invoke("Hello world").usage_metadata["total_tokens"]
    pieces = model("echo", stream_usage=True).stream("Hello world")
    streamed = [one.usage_metadata["total_tokens"] for one in pieces if one.usage_metadata]
    return [whole, streamed]


@report.see("schema")
def schema() -> Any:
    found = []
    for method in ("json_schema", "function_calling"):
        person = model("typed").with_structured_output(Person, method=method).invoke("Who?")
        found.append([type(person).__name__, person.age])
    return found


@report.see("parallel tools")
def tools() -> Any:
    bound = model("caller").bind_tools([weather])
    messages: list[Any] = [HumanMessage("Paris Rome")]
    answer: AIMessage = bound.invoke(messages)
    messages.append(answer)
    for call in answer.tool_calls:
        messages.append(ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]))
    return bound.invoke(messages).content


@report.see("embeddings")
def embeddings() -> Any:
    # By itself it sends numbers of tokens, for which it downloads a vocabulary.
    own = OpenAIEmbeddings(
        model="vectors", base_url=sys.argv[1], api_key="none", check_embedding_ctx_length=False
    )
    return own.embed_documents(["abc", "a"])


@report.see("responses")
def responses() -> Any:
    own = model("thinker", use_responses_api=True)
    pieces = list(own.stream("Hello"))
    whole = pieces[0]
    for one in pieces[1:]:
        whole += one
    return [own.invoke("Hello").text, whole.text]


@report.see("responses tools")
def responses_tools() -> Any:
    bound = model("caller", use_responses_api=True).bind_tools([weather])
    messages: list[Any] = [HumanMessage("Paris Rome")]
    answer: AIMessage = bound.invoke(messages)
    messages.append(answer)
    for call in answer.tool_calls:
        messages.append(ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]))
    return bound.invoke(messages).text


@report.see("retry")
def retried() -> Any:
    return model("busy", max_retries=2).invoke(f"{time.time()}").content


@report.see("errors")
def errors() -> Any:
    try:
        model("nobody").invoke("x")
    except openai.NotFoundError as error:
        return type(error).__name__


@report.see("leaving")
def leaving() -> Any:
    for name in ("endless", "endless-plain"):
        stream = model(name).stream("x")
        next(stream)
        stream.close()
    return until("0", lambda: model("state").invoke("open").content)


report.print()
