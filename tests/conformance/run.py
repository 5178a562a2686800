"""Run the official conformance suite against the fixture server in every host.

    python -m tests.conformance.run [HOST ...]

It prints, for each host and revision, the scenarios and checks that passed, and exits non-zero if
any fails.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sample_projects import processes
from tests import prepared
from tests.conformance.hosts import HOSTS, WORKERS
from tests.conformance.serve import command
from tests.node import install
from tests.workers.serving import serve

HERE = Path(__file__).parent
REVISIONS = ("2026-07-28", "2025-11-25")

EVERY = (*HOSTS, *WORKERS)

_LINE = re.compile(
    r"^[✓✗] (?P<name>[\w/-]+): (?P<passed>\d+) passed, (?P<failed>\d+) failed$", re.M
)


@dataclass(frozen=True)
class Scenario:
    name: str
    passed: int
    failed: int


def run_suite(url: str, revision: str) -> list[Scenario]:
    """Run all scenarios of a revision, scored and not scored, against a server at `url`."""
    modules = install(HERE)
    suite = modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    words = [modules / ".bin" / "node", suite, "server", "--url", url, "--requirements", revision]
    done = subprocess.run(words, cwd=HERE, capture_output=True, text=True, timeout=600)
    summary = done.stdout.partition("=== SUMMARY ===")[2]
    scenarios = [
        Scenario(match["name"], int(match["passed"]), int(match["failed"]))
        for match in _LINE.finditer(summary)
    ]
    if not scenarios:
        raise RuntimeError(f"the suite printed no summary:\n{done.stdout}\n{done.stderr}")
    return scenarios


def run_host(host: str) -> list[list[Scenario]]:
    """Run the suite against a host; its scenarios for each of `REVISIONS`."""
    with ExitStack() as stack:
        start = partial(command, WORKERS.get(host, host))
        port = serve(start, stack, workers=host in WORKERS)
        return [run_suite(f"http://127.0.0.1:{port}/mcp", revision) for revision in REVISIONS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"of {', '.join(EVERY)}")
    hosts = parser.parse_args().hosts or list(EVERY)
    install(HERE)
    processes.start_server = prepared.start
    print(f"{'host':<14} {'revision':<11} {'scenarios':>11} {'checks':>11}")
    failures: list[str] = []
    passed = 0
    # All at once: each waits for three quarters of its time.
    with ThreadPoolExecutor(len(hosts)) as pool:
        for host, results in zip(hosts, pool.map(run_host, hosts), strict=True):
            for revision, scenarios in zip(REVISIONS, results, strict=True):
                good = sum(not scenario.failed for scenario in scenarios)
                checks = sum(scenario.passed for scenario in scenarios)
                every = checks + sum(scenario.failed for scenario in scenarios)
                row = f"{good}/{len(scenarios)}", f"{checks}/{every}"
                print(f"{host:<14} {revision:<11} {row[0]:>11} {row[1]:>11}", flush=True)
                passed += good
                failures += [
                    f"{host} {revision}: {scenario.name} fails"
                    for scenario in scenarios
                    if scenario.failed
                ]
    for line in failures:
        print(line)
    print(f"conformance: {passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
