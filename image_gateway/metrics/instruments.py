"""What is counted and timed, by the names under which /metrics shows it; the only room that knows prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

STORE_CALLS = Counter("image_gateway_store_calls", "Calls to the store to open a body, resumes included.")
BODY_RESUMES = Counter("image_gateway_body_resumes", "Bodies gone on with after the store broke off.")
BODY_GIVE_UPS = Counter("image_gateway_body_give_ups", "Bodies whose client's connection was broken.")
STALLS = Counter("image_gateway_stalls", "Clients that were let go because they took or sent nothing.")
ACTIVE_STREAMS = Gauge(
    "image_gateway_active_streams", "Bodies being streamed.", multiprocess_mode="livesum"
)
CACHE_HITS = Counter("image_gateway_cache_hits", "Blocks served from the block cache.")
CACHE_MISSES = Counter("image_gateway_cache_misses", "Blocks that the block cache did not have.")
CACHE_FILLS = Counter("image_gateway_cache_fills", "Blocks read from the store into the block cache.")
SIGNATURES_MADE = Counter("image_gateway_signatures_made", "CloudFront signatures made.")
SIGNATURES_REUSED = Counter("image_gateway_signatures_reused", "CloudFront signatures handed out again.")
