"""Values of all kinds, some of which no option may have: it is checked where it is given."""

from __future__ import annotations

from typing import Any, Final

VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, 5, -1, float("nan"), float("inf"), "", "x", b"x", object(), lambda: 1),
    *([], [5], [None], ["x"], {}, {"x": object()}),
)
