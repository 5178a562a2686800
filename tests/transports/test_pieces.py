"""The pieces of a model's answer on their way to a reader."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mcp_mount.llm.answers import Delta
from mcp_mount.llm.models import ReaderLeft
from mcp_mount.transports.pieces import PieceStream


def texts(taken: list[Delta] | None) -> list[str] | None:
    return None if taken is None else [delta.text for delta in taken]


def test_what_is_there_is_read_at_once_and_the_end_comes_last() -> None:
    async def run() -> None:
        pieces = PieceStream()
        await pieces.put(Delta("a"))
        await pieces.put(Delta("b"))
        pieces.end()
        assert texts(await pieces.take()) == ["a", "b"]
        assert await pieces.take() is None
        assert await pieces.take(0.01) is None

    asyncio.run(run())


def test_a_silence_is_told() -> None:
    async def run() -> None:
        pieces = PieceStream()
        assert await pieces.take(0.01) == []
        reading = asyncio.ensure_future(pieces.take(20))
        await asyncio.sleep(0)
        await pieces.put(Delta("a"))
        assert texts(await reading) == ["a"]

    asyncio.run(run())


def test_a_shorter_silence_is_told_after_a_longer_one_was_waited_for() -> None:
    async def run() -> None:
        pieces = PieceStream()
        reading = asyncio.ensure_future(pieces.take(1000))
        await asyncio.sleep(0)
        await pieces.put(Delta("a"))
        assert texts(await reading) == ["a"]
        assert await asyncio.wait_for(pieces.take(0.01), 60) == []
        pieces.end()
        assert await pieces.take(1000) is None

    asyncio.run(run())


def test_a_thread_that_waits_for_a_reader_goes_on_when_it_leaves() -> None:
    async def run() -> None:
        pieces = PieceStream()

        def speak() -> None:
            for _ in range(1000):
                pieces.put_from_thread(Delta("x"))

        speaking = asyncio.ensure_future(asyncio.to_thread(speak))
        for _ in range(3):
            assert await pieces.take()
        await asyncio.sleep(0.01)
        pieces.close()
        with pytest.raises(ReaderLeft):
            await asyncio.wait_for(speaking, 60)

    asyncio.run(run())


def test_a_reader_that_is_slow_holds_up_a_coroutine_and_a_thread() -> None:
    async def run() -> None:
        pieces = PieceStream()
        added: list[int] = []

        async def add() -> None:
            for number in range(200):
                await pieces.put(Delta(str(number)))
                added.append(number)

        def add_here() -> None:
            for number in range(200):
                pieces.put_from_thread(Delta(str(number)))
                added.append(number)

        for start in (lambda: asyncio.create_task(add()), lambda: asyncio.to_thread(add_here)):
            added.clear()
            adding = asyncio.ensure_future(start())
            while not added:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert len(added) < 100
            read: list[str] = []
            while len(read) < 200:
                read += texts(await pieces.take()) or []
            assert read == [str(number) for number in range(200)]
            await adding

    asyncio.run(run())


def test_whoever_speaks_is_told_that_the_reader_has_left() -> None:
    async def run() -> None:
        pieces = PieceStream()
        seen: list[str] = []
        begun = threading.Event()

        def speak() -> None:
            try:
                while True:
                    pieces.put_from_thread(Delta("x"))
                    begun.set()
            except ReaderLeft:
                seen.append("left")

        speaking = asyncio.ensure_future(asyncio.to_thread(speak))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        pieces.close()
        await speaking
        assert seen == ["left"]
        with pytest.raises(ReaderLeft):
            await pieces.put(Delta("x"))

    asyncio.run(run())
