"""Sign in to a server with FastMCP's client: `python fastmcp_sign_in.py URL`.

It prints the URL that it would open in a browser, and at last what the tool `whoami` says, twice.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
import webbrowser

from fastmcp import Client
from fastmcp.client.auth import OAuth

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


def visit(url: str, *arguments: object, **options: object) -> bool:
    print(url, flush=True)
    return True


webbrowser.open = visit


async def main() -> None:
    auth = OAuth()
    for _ in range(2):
        async with Client(sys.argv[1], auth=auth) as client:
            result = await client.call_tool("whoami", {})
            print(result.content[0].text, flush=True)


asyncio.run(main())
