"""What load balancers and Kubernetes ask of a process: whether it lives, and takes requests.

app = MCPServer("shop")
app.include_router(HealthRouter())        # GET /healthz, GET /readyz
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from typing_extensions import Unpack

from mcp_mount.routes.options import APIRouterOptions
from mcp_mount.routes.parts import parts_of

__all__ = ["HealthRouter"]


class HealthRouter(APIRouter):
    """A FastAPI router with `/healthz` and `/readyz`, for probes: below the mount point.

    Both answer 200. `/readyz` answers 503 with `Retry-After` from when the process is told to end,
    so that no new clients come, while those that are there are served to the end. Where the
    lifespan of the server has failed, both answer 503.

    Neither asks a database or a store: one that is away would take all processes out of service at
    once, those requests included that do not need it. Neither asks who calls, and neither tells
    anything of the server.

    Args:
        options: Those of FastAPI's APIRouter.
    """

    def __init__(self, **options: Unpack[APIRouterOptions]) -> None:
        super().__init__(**options)
        self.add_api_route("/healthz", _healthz, methods=["GET", "HEAD"], include_in_schema=False)
        self.add_api_route("/readyz", _readyz, methods=["GET", "HEAD"], include_in_schema=False)


async def _healthz() -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    server = parts_of(request)
    if server is not None and server.is_ending():
        return JSONResponse({"status": "ending"}, 503, {"retry-after": "1"})
    return JSONResponse({"status": "ok"})
