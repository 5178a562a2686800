"""Whether the process of the server reaches the documents that clients publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from mcp_mount.auth.authorization.fetching import DocumentRefused, fetch_document
from mcp_mount.cli.checking.findings import Finding

DOCUMENTS: Final = (
    "https://claude.ai/oauth/claude-code-client-metadata",
    "https://vscode.dev/oauth/client-metadata.json",
)
"""Documents of clients that everybody may read."""


def check_outbound(
    fetch: Callable[[str], object] = fetch_document,
) -> Iterator[Finding]:
    """Fetch documents as the server does, by which clients say who they are (CIMD).

    Args:
        fetch: Fetches one.
    """
    problems = []
    for url in DOCUMENTS:
        try:
            fetch(url)
        except DocumentRefused as error:
            problems.append(f"{url}: {error}")
        else:
            return
    yield Finding(
        f"No document of a client can be fetched from here: {'; '.join(problems)}",
        "the metadata promise it (CIMD), and Claude, ChatGPT and VS Code, which then do not "
        "register, are refused",
        "let the server connect to port 443 of public hosts and resolve their names, or set "
        "cimd=False in SignIn, so that clients register",
    )
