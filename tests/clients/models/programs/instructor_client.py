"""instructor, with OpenAI's Python client.

python instructor_client.py URL
"""

from __future__ import annotations

import sys
from typing import Any

import instructor
import openai
from pydantic import BaseModel
from reporting import Report

report = Report()


class Person(BaseModel):
    name: str
    age: int


for title, mode in (("tools", instructor.Mode.TOOLS), ("schema", instructor.Mode.JSON_SCHEMA)):

    @report.see(title, mode)
    def person(mode: Any) -> Any:
        own = openai.OpenAI(base_url=sys.argv[1], api_key="none", timeout=20)
        client = instructor.from_openai(own, mode=mode)
        messages: Any = [{"role": "user", "content": "Who?"}]
        found = client.chat.completions.create(
            model="typed", messages=messages, response_model=Person
        )
        return [type(found).__name__, found.age]


report.print()
