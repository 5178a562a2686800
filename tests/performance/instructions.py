"""Counts the instructions of the processor that one call to a tool takes, on each host.

    python -m tests.performance.instructions

Needs Valgrind on x86-64 (apt-get install valgrind). Valgrind's Callgrind counts what Python and
libraries in C execute, and function calls (counting.py) do not show; the machine's load does not
change it. As Pythons are compiled differently, what counts is the ratio to an application in the
same process that does without mcp-mount.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.performance.hosts import BY_HAND, DJANGO_VIEW, FLASK_VIEW, HOSTS

CALLS, WARM_UP = 20, 30

WITH_CHATS = (
    *("alone", "alone, WSGI", "in FastAPI", "in Flask", "beside Flask", "in Django"),
    "beside Django",
)

COUNTED = {
    "alone": BY_HAND,
    "alone, session": BY_HAND,
    "alone, context and throttle": BY_HAND,
    "alone, WSGI": BY_HAND,
    "in Starlette": BY_HAND,
    "in FastAPI": BY_HAND,
    "in Flask": FLASK_VIEW,
    "beside Flask": FLASK_VIEW,
    "in Django": DJANGO_VIEW,
    "beside Django": DJANGO_VIEW,
    # A chat is compared with a call of a tool on the same host.
    **{f"{host}, chat": host for host in WITH_CHATS},
}
"""Hosts, and what each is compared with. Where threads wait for one another, instructions vary."""

# Requests of programs to Callgrind, of valgrind/callgrind.h.
_ZERO_STATS, _DUMP_STATS_AT, _START_INSTRUMENTATION = 0x43540001, 0x43540003, 0x43540004

# Valgrind takes these rotations, which change nothing, for a request at the address in rax; see
# valgrind/valgrind.h. Without a compiler, they have to be written as bytes.
_REQUEST = bytes.fromhex(
    "4889f8"  # mov rax, rdi
    "31d2"  # xor edx, edx
    "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi, 3, 13, 61 and 51
    "4887db"  # xchg rbx, rbx
    "c3"  # ret
)


def reason_not_to_count() -> str | None:
    """What is not here: how to install it."""
    if platform.machine() != "x86_64":
        return "Valgrind is asked for counts in the machine code of x86-64"
    return None if shutil.which("valgrind") else "apt-get install valgrind"


def ratios() -> Mapping[str, float]:
    """The instructions of a call on each host, in those of what it is compared with."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
            *(f"--callgrind-out-file={folder}/counts", sys.executable, "-m", __spec__.name),
            "--within-valgrind",
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(words, env=environment, check=True, timeout=600, capture_output=True)
        found = dict(map(_read, Path(folder).glob("counts.*")))
    own = {name: found[name] - found[HOSTS[name].driver] for name in found if name in HOSTS}
    return {name: own[name] / own[reference] for name, reference in COUNTED.items()}


def _read(file: Path) -> tuple[str, int]:
    """The name and the instructions of a dump."""
    text = file.read_text()
    name, total = (
        re.search(pattern, text, re.MULTILINE)
        for pattern in (r"^desc: Trigger: Client Request: (.*)$", r"^(?:totals|summary): (\d+)")
    )
    return (name[1] if name else "the end"), (int(total[1]) if total else 0)


def _count_within_valgrind() -> None:
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(_REQUEST)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    request = function(ctypes.addressof(ctypes.c_char.from_buffer(memory)))

    def ask(number: int, argument: bytes = b"") -> None:
        text = ctypes.create_string_buffer(argument)
        request((ctypes.c_size_t * 6)(number, ctypes.addressof(text)))

    counted = {*COUNTED, *COUNTED.values()}
    names = counted | {HOSTS[name].driver for name in counted}
    calls = {name: HOSTS[name].make() for name in sorted(names)}
    for send in calls.values():
        send(WARM_UP)
    gc.collect()
    gc.freeze()
    gc.disable()
    ask(_START_INSTRUMENTATION)
    for name, send in calls.items():
        ask(_ZERO_STATS)
        send(CALLS)
        ask(_DUMP_STATS_AT, name.encode())


def main() -> None:
    if "--within-valgrind" in sys.argv:
        _count_within_valgrind()
        return
    for name, ratio in ratios().items():
        print(f"{name:30}{ratio:>7.3f} times {COUNTED[name]}")


if __name__ == "__main__":
    main()
