"""OpenAI's Python client.

python openai_python.py URL
"""

from __future__ import annotations

import base64
import sys
import time
from typing import Any
from urllib.request import urlopen

import openai
from pydantic import BaseModel
from reporting import WEATHER, Report, until

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", timeout=20)
report = Report()
chat = client.chat.completions
HELLO: Any = [{"role": "user", "content": "Hello world"}]
WEATHER_TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": WEATHER, "strict": True},
}


class Person(BaseModel):
    name: str
    age: int


def said(model: str, text: str, **options: Any) -> Any:
    return chat.create(model=model, messages=[{"role": "user", "content": text}], **options)


@report.see("models")
def models() -> Any:
    return client.models.retrieve("echo").id


for kind in ("echo", "plain"):

    @report.see(f"chat {kind}", kind)
    def whole(kind: str) -> Any:
        return chat.create(model=kind, messages=HELLO).choices[0].message.content

    @report.see(f"stream {kind}", kind)
    def stream(kind: str) -> Any:
        pieces = []
        for chunk in chat.create(model=kind, messages=HELLO, stream=True):
            pieces += [one.delta.content for one in chunk.choices if one.delta.content]
        return pieces


@report.see("usage")
def usage() -> Any:
    whole = chat.create(model="echo", messages=HELLO).usage
    options: Any = {"include_usage": True}
    chunks = chat.create(model="echo", messages=HELLO, stream=True, stream_options=options)
    return [whole.total_tokens, [one.usage.total_tokens for one in chunks if one.usage]]


@report.see("stream helper")
def helper() -> Any:
    with chat.stream(model="echo", messages=HELLO) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    return [sorted(kinds), final.choices[0].message.content]


@report.see("async")
async def asynchronous() -> Any:
    async with openai.AsyncOpenAI(base_url=sys.argv[1], api_key="none", timeout=20) as other:
        stream = await other.chat.completions.create(model="echo", messages=HELLO, stream=True)
        return "".join([one.choices[0].delta.content or "" async for one in stream])


@report.see("reasoning")
def reasoning() -> Any:
    message: Any = said("thinker", "Yes").choices[0].message
    return [message.reasoning_content, message.content]


@report.see("schema")
def parsed() -> Any:
    messages: Any = [{"role": "user", "content": "Who?"}]
    answer = chat.parse(model="typed", messages=messages, response_format=Person)
    person = answer.choices[0].message.parsed
    return [type(person).__name__, person.age]


@report.see("tools")
def tools() -> Any:
    messages: Any = [{"role": "user", "content": "Paris"}]
    answer = chat.create(model="caller", messages=messages, tools=[WEATHER_TOOL])
    [call] = answer.choices[0].message.tool_calls
    messages += [
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    final = chat.create(model="caller", messages=messages, tools=[WEATHER_TOOL])
    return [
        call.function.arguments,
        answer.choices[0].finish_reason,
        final.choices[0].message.content,
    ]


@report.see("parallel tools")
def parallel() -> Any:
    messages: Any = [{"role": "user", "content": "Paris Rome"}]
    with chat.stream(model="caller", messages=messages, tools=[WEATHER_TOOL]) as events:
        final = events.get_final_completion()
    return [one.function.arguments for one in final.choices[0].message.tool_calls]


@report.see("text")
def text() -> Any:
    answer = client.completions.create(model="echo", prompt=["a", "b"], echo=True)
    stream = client.completions.create(model="echo", prompt="c d", stream=True)
    pieces = [one.choices[0].text for one in stream]
    return [[one.text for one in answer.choices], "".join(pieces)]


@report.see("embeddings")
def embeddings() -> Any:
    answer = client.embeddings.create(model="vectors", input=["abc", "a"])
    return [[one.embedding for one in answer.data], answer.usage.total_tokens]


@report.see("responses")
def responses() -> Any:
    answer = client.responses.create(model="echo", input="Hello world", instructions="Be kind")
    return [answer.output_text, answer.status, answer.usage.total_tokens]


@report.see("responses stream")
def responses_stream() -> Any:
    with client.responses.stream(model="thinker", input="Hello") as events:
        kinds = [event.type.removeprefix("response.") for event in events]
        final = events.get_final_response()
    return [kinds[0], kinds[-1], final.output_text]


@report.see("responses schema")
def responses_schema() -> Any:
    answer = client.responses.parse(model="typed", input="Who?", text_format=Person)
    return answer.output_parsed.age


@report.see("responses tools")
def responses_tools() -> Any:
    items: Any = [{"role": "user", "content": "Paris Rome"}]
    tool: Any = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
    with client.responses.stream(model="caller", input=items, tools=[tool]) as events:
        for _ in events:
            pass
        first = events.get_final_response()
    items += first.output
    for number, call in enumerate(first.output):
        items.append(
            {"type": "function_call_output", "call_id": call.call_id, "output": f"w{number}"}
        )
    final = client.responses.create(model="caller", input=items, tools=[tool])
    return [[one.arguments for one in first.output], final.output_text]


@report.see("images")
def images() -> Any:
    answer = client.images.generate(prompt="A cat", size="256x256", n=2)
    return [len(answer.data), answer.data[0].b64_json[:5]]


@report.see("image edits")
def edits() -> Any:
    drawn = client.images.generate(prompt="A cat", size="64x64").data[0].b64_json
    picture = base64.b64decode(drawn)
    one = client.images.edit(prompt="A hat", image=("a.png", picture))
    files = [("a.png", picture), ("b.png", picture)]
    options: Any = {"mask": ("m.png", picture), "size": "64x64"}
    several = client.images.edit(prompt="A hat", image=files, **options)
    return [answer.data[0].b64_json[:5] for answer in (one, several)]


@report.see("image stream")
def image_stream() -> Any:
    events = client.images.generate(prompt="A cat", size="auto", stream=True, partial_images=2)
    return [event.type for event in events]


@report.see("image url")
def image_url() -> Any:
    url = client.images.generate(prompt="A cat", response_format="url").data[0].url
    with urlopen(url) as response:
        return response.headers["content-type"]


@report.see("retry")
def retried() -> Any:
    return said("busy", f"{time.time()}").choices[0].message.content


@report.see("failure")
def failure() -> Any:
    before = int(said("state", "broken").choices[0].message.content)
    try:
        said("broken", "x")
    except openai.InternalServerError as error:
        words = error.body["message"]
    return [words, int(said("state", "broken").choices[0].message.content) - before]


@report.see("errors")
def errors() -> Any:
    found = []
    for model, options in (("nobody", {}), ("echo", {"temperature": "hot"})):
        try:
            said(model, "x", **options)
        except openai.APIStatusError as error:
            found.append([type(error).__name__, error.type])
    return found


for kind in ("endless", "endless-plain"):

    @report.see(f"leaving {kind}", kind)
    def leaving(kind: str) -> Any:
        for _ in range(4):
            with said(kind, "x", stream=True) as stream:
                next(iter(stream))
        return until("0", lambda: said("state", "open").choices[0].message.content)


report.print()
