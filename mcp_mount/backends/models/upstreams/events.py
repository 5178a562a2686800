"""Reading server-sent events (WHATWG HTML, 9.2.6), as they come in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator


class EventParser:
    """Takes the bytes of a stream, and gives the data of its events.

    Names and ids of events are not kept: providers repeat the name in the data.
    """

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._data: list[bytes] = []
        self._is_first = True
        self._skips_feed = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take some bytes.

        Args:
            chunk: The bytes that follow those before.

        Returns:
            The data of the events that end in them.
        """
        if self._skips_feed:
            # The line has ended with the carriage return before it.
            chunk = chunk.removeprefix(b"\n")
        self._skips_feed = chunk.endswith(b"\r")
        self._begun.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            # Joined once, when the line ends.
            return
        lines = b"".join(self._begun).splitlines(keepends=True)
        self._begun = [] if lines[-1].endswith((b"\n", b"\r")) else [lines.pop()]
        for line in lines:
            yield from self._line(line.rstrip(b"\r\n"))

    def _line(self, line: bytes) -> Iterator[bytes]:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                yield b"\n".join(self._data)
                self._data = []
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
