"""What is counted and timed, by the names under which /metrics shows it (docs/metrics.md)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# A series beside each counter that says when it was made: nobody asks, and processes that share have none.
disable_created_metrics()  # type: ignore[no-untyped-call]

# A request lasts as long as its body, so the upper ones are those of whole images.
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600)
_FIRST_BYTE = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "image_gateway_requests",
    "Requests whose answer has ended, on whichever way.",
    ["route", "method", "status"],
)
REQUEST_SECONDS = Histogram(
    "image_gateway_request_seconds",
    "Time from a request's arrival to the end of its body.",
    ["route", "method", "class"],
    buckets=_SECONDS,
)
FIRST_BYTE_SECONDS = Histogram(
    "image_gateway_first_byte_seconds",
    "Time from a request's arrival to the first byte of its body.",
    ["route"],
    buckets=_FIRST_BYTE,
)
BYTES_SENT = Counter("image_gateway_sent_bytes", "Bytes of bodies handed to clients.", ["route"])

STORE_CALLS = Counter("image_gateway_store_calls", "Calls to the store to open a body, resumes included.")
BODY_RESUMES = Counter("image_gateway_body_resumes", "Bodies gone on with after the store broke off.")
BODY_GIVE_UPS = Counter("image_gateway_body_give_ups", "Bodies whose client's connection was broken.")
STALLS = Counter("image_gateway_stalls", "Clients that were let go because they took or sent nothing.")
ACTIVE_STREAMS = Gauge("image_gateway_active_streams", "Bodies being streamed.", multiprocess_mode="livesum")
STREAMS_REFUSED = Counter("image_gateway_streams_refused", "Reads answered 503 as too many were streamed.")
POOL_CONNECTIONS = Gauge(
    "image_gateway_pool_connections", "Connections to the store in use.", multiprocess_mode="livesum"
)
CACHE_HITS = Counter("image_gateway_cache_hits", "Blocks served from the block cache.")
CACHE_MISSES = Counter("image_gateway_cache_misses", "Blocks that the block cache did not have.")
CACHE_FILLS = Counter("image_gateway_cache_fills", "Blocks read from the store into the block cache.")
SIGNATURES_MADE = Counter("image_gateway_signatures_made", "CloudFront signatures made.")
SIGNATURES_REUSED = Counter("image_gateway_signatures_reused", "CloudFront signatures handed out again.")
CACHE_EVICTIONS = Counter("image_gateway_cache_evictions", "Blocks that the block cache let go to make room.")
CACHE_BYTES = Gauge(
    "image_gateway_cache_bytes", "Bytes of blocks in the block cache.", multiprocess_mode="mostrecent"
)
