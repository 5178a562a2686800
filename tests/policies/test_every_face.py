"""Each policy on each face: the same tests for tools, chat models, embeddings and images."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mcp_mount import ToolError
from mcp_mount.policies.options import ResourcePolicies
from tests.policies.every_face import FACES, LEVELS, MAY, MAY_NOT, Face, Work

on_every_face = pytest.mark.parametrize("face", FACES.values(), ids=list(FACES))
on_every_level = pytest.mark.parametrize("level", LEVELS)


def goods(answers: Any) -> list[bool]:
    return [one.is_good for one in answers]


@on_every_level
@on_every_face
def test_throttle(face: Face, level: str) -> None:
    work = Work(face, level, {"throttle": "2/minute"})
    answers = work.send(*"abcd")
    assert (goods(answers), work.runs) == ([True, True, False, False], 2)
    assert "too often (2 per 1 minute)" in answers[-1].text
    if face.path:
        assert answers[-1].status == 429
        assert 0 < int(answers[-1].retry_after or 0) <= 60


@on_every_level
@on_every_face
def test_budget(face: Face, level: str) -> None:
    work = Work(face, level, {"budget": "2 requests/day"})
    answers = work.send(*"abc")
    assert (goods(answers), work.runs) == ([True, True, False], 2)
    assert "has not enough left" in answers[-1].text
    assert answers[-1].status in (None, 429)


@on_every_level
@on_every_face
def test_max_concurrency(face: Face, level: str) -> None:
    here, most = 0, 0

    async def handle() -> None:
        nonlocal here, most
        here += 1
        most = max(most, here)
        await asyncio.sleep(0.002)
        here -= 1

    work = Work(face, level, {"max_concurrency": 1}, handle)
    assert goods(work.send_together(*"abcdef")) == [True] * 6
    assert (most, work.runs) == (1, 6)


@on_every_level
@on_every_face
def test_timeout(face: Face, level: str) -> None:
    work = Work(face, level, {"timeout": 0.05}, asyncio.Event().wait)  # type: ignore[arg-type]
    [answer] = work.send("a")
    assert not answer.is_good
    assert "0.05 seconds" in answer.text
    assert answer.status in (None, 504)


@on_every_level
@on_every_face
def test_cache(face: Face, level: str) -> None:
    work = Work(face, level, {"cache": 60})
    assert goods(work.send(*"aab")) == [True] * 3
    assert work.runs == 2


@on_every_level
@on_every_face
def test_max_body_bytes(face: Face, level: str) -> None:
    work = Work(face, level, {"max_body_bytes": 1000})
    answers = work.send("a", "a" * 1000)
    assert (goods(answers), work.runs) == ([True, False], 1)
    assert answers[-1].status in (None, 413)


@on_every_level
@on_every_face
def test_max_result_bytes(face: Face, level: str) -> None:
    work = Work(face, level, {"max_result_bytes": 2})
    [answer] = work.send("a")
    assert not answer.is_good
    assert "more than the 2 that may be sent" in answer.text


@on_every_level
@pytest.mark.parametrize("name", [name for name, face in FACES.items() if face.deep])
def test_max_argument_depth(name: str, level: str) -> None:
    face = FACES[name]
    work = Work(face, level, {"max_argument_depth": 4})
    [good], [refused] = work.send("a"), work.send("a", **face.deep)
    assert (good.is_good, refused.is_good, work.runs) == (True, False, 1)
    assert "nested more than 4 levels deep" in refused.text
    assert refused.status in (None, 422)


@on_every_level
@on_every_face
def test_redact(face: Face, level: str) -> None:
    work = Work(face, level, {"redact": face.secret})
    assert goods(work.send("a-secret")) == [True]
    [shown] = [one for one in work.records if f"{one.method} {one.name}" == face.recorded]
    assert shown.arguments[face.secret] == "***"
    assert "a-secret" not in str(shown.arguments)


@on_every_level
@on_every_face
def test_call_middleware(face: Face, level: str) -> None:
    seen: list[str] = []

    def middleware(call: Any) -> Any:
        seen.append(f"{call.method} {call.name}")
        if work.runs:
            raise ToolError("Once is enough")
        return (yield)

    work = Work(face, level, {"call_middleware": middleware})
    good, refused = work.send(*"ab")
    assert (good.is_good, refused.is_good, work.runs) == (True, False, 1)
    assert "Once is enough" in refused.text
    assert face.recorded in seen


RULES: dict[str, Any] = {
    "scopes": "work",
    "roles": "worker",
    "when": lambda caller: "work" in caller.scopes,
    "permission": lambda request: request.headers.get("x-api-key") == MAY,
}


@pytest.mark.parametrize("rule", RULES)
@on_every_level
@on_every_face
def test_rules(face: Face, level: str, rule: str) -> None:
    work = Work(face, level, {rule: RULES[rule]}, keyed=True)
    assert goods(work.send("a")) == [True]
    [refused] = work.send("a", key=MAY_NOT)
    assert (refused.is_good, work.runs) == (False, 1)
    assert refused.status in (None, 401, 403, 404)


def test_every_policy_is_here() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert ResourcePolicies.__annotations__.keys() <= tested | RULES.keys()
