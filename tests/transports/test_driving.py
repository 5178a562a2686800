"""Following flows on a thread and on an event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from mcp_mount.calls.flows import Do, Flow
from mcp_mount.transports.driving import follow, follow_async
from mcp_mount.transports.threads import PLAIN


class Broken(Exception): ...


def refuse() -> None:
    raise Broken


def flow() -> Flow[None]:
    yield Do(refuse)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_the_exception_of_a_step_is_freed_with_the_last_who_has_it_on_a_thread() -> None:
    with pytest.raises(Broken) as caught:
        follow(flow())
    seen = weakref.ref(caught.value)
    del caught
    assert seen() is None


def test_the_exception_of_a_step_is_freed_with_the_last_who_has_it_on_a_loop() -> None:
    async def main() -> None:
        with pytest.raises(Broken) as caught:
            await follow_async(flow(), PLAIN)
        seen = weakref.ref(caught.value)
        del caught
        assert seen() is None

    asyncio.run(main())
