"""instructor, with OpenAI's Python client.

python instructor_client.py URL
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import instructor
import openai
from pydantic import BaseModel
from reporting import Report, until

report = Report()


class Person(BaseModel):
    name: str
    age: int


class weather(BaseModel):
    city: str


def client(mode: Any = instructor.Mode.TOOLS) -> Any:
    own = openai.OpenAI(base_url=sys.argv[1], api_key="none", timeout=20)
    return instructor.from_openai(own, mode=mode)


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def asked(model: str, text: str, **options: Any) -> Any:
    options = {"response_model": None, **options}
    return client().chat.completions.create(model=model, messages=said(text), **options)


@report.see("chat")
def whole() -> Any:
    return asked("echo", "Hello world").choices[0].message.content


@report.see("stream")
def stream() -> Any:
    chunks = asked("echo", "Hello world", stream=True)
    return "".join(one.choices[0].delta.content or "" for one in chunks)


@report.see("stream helper")
def partial() -> Any:
    found = client().create_partial(model="typed", messages=said("Who?"), response_model=Person)
    return list(found)[-1].age


@report.see("usage")
def usage() -> Any:
    return asked("echo", "Hello world").usage.total_tokens


MODES = {
    "tools": instructor.Mode.TOOLS,
    "schema": instructor.Mode.JSON_SCHEMA,
    "responses": instructor.Mode.RESPONSES_TOOLS,
}
for title, mode in MODES.items():

    @report.see(title, mode)
    def person(mode: Any) -> Any:
        found = client(mode).create(model="typed", messages=said("Who?"), response_model=Person)
        return [type(found).__name__, found.age]


@report.see("parallel tools")
def parallel() -> Any:
    found = client(instructor.Mode.PARALLEL_TOOLS).create(
        model="caller", messages=said("Paris Rome"), response_model=Iterable[weather]
    )
    return [one.city for one in found]


@report.see("retry")
def retried() -> Any:
    return asked("busy", f"{time.time()}").choices[0].message.content


@report.see("errors")
def errors() -> Any:
    try:
        client().create(model="nobody", messages=said("x"), response_model=Person)
    except Exception as error:
        return [type(error).__name__, "Unknown model 'nobody'" in str(error)]


@report.see("leaving")
def leaving() -> Any:
    for name in ("endless", "endless-plain"):
        with asked(name, "x", stream=True) as chunks:
            next(iter(chunks))
    return until("0", lambda: asked("state", "open").choices[0].message.content)


report.print()
