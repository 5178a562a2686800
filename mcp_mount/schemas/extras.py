"""What only some users install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtra(ImportError):
    """An argument that needs a library which is not installed; the message names the extra."""


@contextmanager
def requires(extra: str, what: str) -> Iterator[None]:
    """Import the libraries of an extra in it: raises MissingExtra if one is not there."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(
            f"{what} needs a library that is not installed ({error}): "
            f"pip install 'mcp-mount[{extra}]'"
        ) from error
