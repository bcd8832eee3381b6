"""`GET /metrics`: the metrics of the application."""

from fastapi import APIRouter, Response

from serving.state import GatewayOfApp
from serving.telemetry.metrics import MEDIA_TYPE

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(gateway: GatewayOfApp) -> Response:
    """Counts and durations of requests and renders, in Prometheus's text format."""
    return Response(gateway.metrics.text(), headers={"Content-Type": MEDIA_TYPE})
