"""Sets the clock of a process ahead by CLOCK_AHEAD seconds. Imported by test apps at first."""

from __future__ import annotations

import os
import time

_AHEAD = float(os.environ.get("CLOCK_AHEAD", "0"))

if _AHEAD:
    _really = time.time
    time.time = lambda: _really() + _AHEAD
