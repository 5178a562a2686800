"""What a check has found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EVERY: Final = "every client"
HOSTED: Final = "hosted assistants (Claude.ai, ChatGPT)"
TYPESCRIPT: Final = "clients with the TypeScript SDK (Claude Code, Cursor, the Inspector)"
STRICT: Final = "both official SDKs, and what is made of them (FastMCP, Claude Code, the Inspector)"
BROWSERS: Final = "clients that run in a browser, such as the Inspector's direct connection"

PROXY: Final = (
    "behind a proxy, let the application take the forwarded headers, and the proxy send them: in "
    "Flask ProxyFix(app.wsgi_app, x_proto=1, x_host=1, x_prefix=1), in Django "
    "SECURE_PROXY_SSL_HEADER and USE_X_FORWARDED_HOST, with uvicorn --forwarded-allow-ips; or give "
    "the server resource= with its public URL"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know.

    Args:
        what: What is so.
        why: Why it matters, and to which client.
        todo: What to do about it.
        is_in_the_way: Whether a client fails of it.
    """

    what: str
    why: str
    todo: str
    is_in_the_way: bool = True

    def lines(self) -> Iterator[str]:
        """The finding for a terminal."""
        yield f"{'Problem' if self.is_in_the_way else 'Note'}: {self.what}"
        yield f"  Why: {self.why}"
        yield f"  Do: {self.todo}"
