"""Serve the fixture server in one host: `python -m tests.conformance.serve HOST --port N`."""

from __future__ import annotations

import argparse
import os
import sys

from tests.conformance.hosts import HOSTS


def command(host: str, port: int) -> list[str]:
    """The command line of the web server, as a user would write it."""
    words, factory = HOSTS[host]
    server, *own = words.split()
    target = f"tests.conformance.hosts:{factory}"
    if server == "uvicorn":
        options = ["--factory", target, "--port", str(port), "--log-level", "warning"]
    else:
        options = [
            *("--bind", f"127.0.0.1:{port}"),
            *("--worker-class", "gthread", "--threads", "16"),
            # The default of 2 s ends connections that the suite is about to use again.
            *("--keep-alive", "30"),
            *("--log-level", "warning", "--graceful-timeout", "1", "--no-control-socket"),
            f"{target}()",
        ]
    return [sys.executable, "-m", server, *own, *options]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", choices=HOSTS)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    words = command(arguments.host, arguments.port)
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
