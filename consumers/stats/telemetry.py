"""Declare the metrics of the statistics process, once; docs/monitoring.md lists them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.telemetry import LATENCY_BUCKETS_S

STATS_METRICS = CollectorRegistry()

STATS_REQUESTS = Counter(
    "stats_requests_total",
    "Requests answered, by route (`other`: no route) and status",
    ["route", "status"],
    registry=STATS_METRICS,
)
STATS_REQUEST_S = Histogram(
    "stats_request_seconds",
    "Time of one request, by route; of `/v1/live`, how long the viewer stayed",
    ["route"],
    buckets=LATENCY_BUCKETS_S,
    registry=STATS_METRICS,
)
STATS_VIEWERS = Gauge("stats_viewers", "Viewers of `/v1/live`", registry=STATS_METRICS)
STATS_SLOW_VIEWERS = Counter(
    "stats_slow_viewers_total",
    "Viewers of `/v1/live` that were disconnected because they did not read",
    registry=STATS_METRICS,
)
STATS_UPDATED = Gauge(
    "stats_updated_timestamp_seconds",
    "Time of the last update of `/v1/live`, in seconds since 1970",
    registry=STATS_METRICS,
)
