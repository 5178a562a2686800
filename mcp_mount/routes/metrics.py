"""The metrics of a server for Prometheus, by OpenTelemetry's exporter (extra `prometheus`).

    app = MCPServer("shop")
    app.include_router(PrometheusRouter())        # GET /metrics

The server measures for it from then on. Who may read them is for dependencies of the router, or
for the network, to say.
"""

from __future__ import annotations

from fastapi import APIRouter, Response
from typing_extensions import Unpack

from mcp_mount.routes.options import APIRouterOptions
from mcp_mount.schemas.extras import requires

__all__ = ["PrometheusRouter"]


class PrometheusRouter(APIRouter):
    """A FastAPI router with the metrics of its own `meter_provider` at `path`.

    Each has a registry of its own, so that several servers of a process do not mix. A process
    serves its own numbers: where a web server has several workers, collect from each, or push with
    an OTLP exporter instead.

    Args:
        path: The path of the metrics.
        options: Those of FastAPI's APIRouter.

    Raises:
        DefinitionError: If the extra `prometheus` is not installed.
    """

    def __init__(self, path: str = "/metrics", **options: Unpack[APIRouterOptions]) -> None:
        with requires("prometheus", "PrometheusRouter"):
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from opentelemetry.sdk.metrics import MeterProvider
            from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        super().__init__(**options)
        registry = CollectorRegistry()
        reader = PrometheusMetricReader(registry=registry)
        self.meter_provider = MeterProvider(metric_readers=[reader])

        def metrics() -> Response:
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

        self.add_api_route(path, metrics, methods=["GET"], include_in_schema=False)
