"""`make demo`: run every sample project and call its tools with the official MCP client.

    python -m sample_projects.demo [--once]

It serves until interrupted; with --once it stops after the calls, and exits non-zero if one
failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
from mcp import Client

from sample_projects.samples import SAMPLES, Sample

MODES = ("auto", "legacy")


async def call_tools(sample: Sample, url: str) -> list[tuple[str, bool]]:
    """Call the tools of a sample with and without sessions; one line and a verdict for each."""
    lines: list[tuple[str, bool]] = []
    for mode in MODES:
        try:
            with anyio.fail_after(30):
                async with Client(url, mode=mode) as client:
                    tools = (await client.list_tools()).tools
                    answers = []
                    good = True
                    for name, arguments in sample.calls:
                        result = await client.call_tool(name, dict(arguments))
                        text = result.content[0].text if result.content else ""
                        answers.append(f"{name}: {text if len(text) < 40 else text[:37] + '...'}")
                        good = good and not result.is_error
                    summary = f"{len(tools)} tools; {'; '.join(answers)}"
                    lines.append((f"{client.protocol_version}  {summary}", good))
        except Exception as error:
            lines.append((f"{mode}: {type(error).__name__}: {error}", False))
    return lines


def show(rows: list[tuple[str, str, str, bool]]) -> None:
    """Print the table: host, revision and result, then the URLs for an MCP client."""
    width = max(len(name) for name, _, _, _ in rows)
    print(f"\n{'host':<{width}}  ok   revision    result")
    for name, _, line, good in rows:
        print(f"{name:<{width}}  {'yes' if good else 'NO ':<3}  {line}")
    servers = {name: {"type": "http", "url": url} for name, url, _, _ in rows}
    print("\nConfiguration for an MCP client:")
    print(json.dumps({"mcpServers": servers}, indent=2), flush=True)


def progress(line: str) -> None:
    print(line, flush=True)


def wait_for_interrupt() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def run(folder: Path, variables: Mapping[str, str], *, once: bool) -> bool:
    rows: list[tuple[str, str, str, bool]] = []
    with ExitStack() as stack:
        for sample in SAMPLES:
            progress(f"{sample.name}: preparing the database ...")
            sample.make_database(folder, variables)
            progress(f"{sample.name}: starting {sample.server} ...")
            url = stack.enter_context(sample.serve(folder))
            progress(f"{sample.name}: calling its tools at {url} ...")
            for line, good in anyio.run(call_tools, sample, url):
                rows.append((sample.name, url, line, good))
        show(rows)
        good = all(row[3] for row in rows)
        if not once:
            progress("\nServing until interrupted (Ctrl-C).")
            wait_for_interrupt()
    print(f"demo: {sum(row[3] for row in rows)} passed, {sum(not row[3] for row in rows)} failed")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="stop after the calls")
    once = parser.parse_args().once
    with tempfile.TemporaryDirectory() as folder:
        return 0 if run(Path(folder), os.environ, once=once) else 1


if __name__ == "__main__":
    sys.exit(main())
