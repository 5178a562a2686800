"""The loggers of this package, on whose lines nobody else writes.

Clients choose names, URIs and the texts in exceptions. One with a line break in it would begin a
line of its own in a log, which looks like any other.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any, Final

_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CONTROL_IN_LINES: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape(text: str) -> str:
    """A text with its control characters, line breaks, changes of direction, and surrogates, which
    no log file could hold, written out."""
    return _CONTROL.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class _OneLineEach(logging.Filter):
    """Escapes what records are filled in with, and indents their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_escaped, record.args))
        if record.exc_info and record.exc_info[0] is not None and record.exc_text is None:
            # Handlers take this text, if it is there. A line of an exception's own text cannot
            # look like a record then, since that begins at the margin.
            lines = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            shown = _CONTROL_IN_LINES.sub(_written_out, lines)
            record.exc_text = "\n".join(f"  {line}" for line in shown.split("\n"))
        return True


def _escaped(value: Any) -> Any:
    if isinstance(value, BaseException):
        value = str(value)
    return escape(value) if isinstance(value, str) else value


def own_logger(name: str) -> logging.Logger:
    """A logger of this package."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, _OneLineEach) for one in logger.filters):
        logger.addFilter(_OneLineEach())
    return logger
