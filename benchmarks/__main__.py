"""Measure mcp-mount, and what it is compared with: `make bench`, or `python -m benchmarks`.

What was measured is printed as Markdown. Parts that were measured whole also replace what
docs/performance.md and docs/performance/ have of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import load, pages
from benchmarks.environment import environment
from benchmarks.parts import Options
from benchmarks.sections import SECTIONS
from benchmarks.tables import described
from benchmarks.targets import PEERS, TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "only",
        nargs="*",
        help=f"parts ({', '.join(SECTIONS)}) and targets "
        f"({', '.join(target.name for target in TARGETS + PEERS)}); all by default",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds a measurement takes")
    parser.add_argument("--peers", action="store_true", help="servers of other projects as well")
    parser.add_argument("--print", action="store_true", help="print only, write nothing to docs")
    asked = parser.parse_args()
    if not Path("/proc/self/stat").exists():
        parser.error("CPU time and memory are read from /proc, which this system does not have")
    only = [word for words in asked.only for word in words.split(",") if word]
    named = {target.name: target for target in TARGETS + PEERS}
    unknown = [word for word in only if word not in named and word not in SECTIONS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; see --help")
    chosen = [named[word] for word in only if word in named]
    parts = [word for word in only if word in SECTIONS]
    if not parts:
        parts = ["targets", "inside"] if chosen else list(SECTIONS)
    targets = chosen or (TARGETS + PEERS if asked.peers else TARGETS)
    options = Options(targets, asked.rounds, asked.seconds)
    if load.WRK is None:
        print(load.HINT, file=sys.stderr)
    for name in parts:
        begun, about = time.monotonic(), described(environment())
        page = SECTIONS[name](options)
        print(f"{page.text}\n{about}", flush=True)
        print(f"({name} took {time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
        if not chosen and not asked.print:
            pages.write(name, page, about)


if __name__ == "__main__":
    main()
