"""Settings for streaming, the block cache, metrics and tracing."""

from __future__ import annotations

import re

from marshmallow import Schema, fields

from image_gateway.protocol.parts import MIB
from image_gateway.settings.fields import HOST_ADDRESS, boolean, doc, matching, number


class StreamingSchema(Schema):
    """Streaming, block cache, metrics and tracing."""

    send_timeout_seconds = number(
        1,
        3600,
        data_key="SEND_TIMEOUT_SECONDS",
        load_default=30,
        metadata=doc("Timeout for a client that stops reading a response, or for receiving a whole request"),
    )
    max_streams = number(
        1,
        1024,
        data_key="MAX_STREAMS",
        load_default=None,
        metadata=doc("Maximum concurrent streams per worker; three quarters of WEB_THREADS when empty"),
    )
    max_streams_per_user = number(
        1,
        1024,
        data_key="MAX_STREAMS_PER_USER",
        load_default=None,
        metadata=doc(
            "Maximum streams per user, link or address; a quarter of MAX_STREAMS, at least 8, when empty"
        ),
    )
    stream_queue_seconds = number(
        0,
        60,
        data_key="STREAM_QUEUE_SECONDS",
        load_default=5,
        metadata=doc("How long a read waits for a free stream before the gateway returns 503"),
    )
    access_cache_seconds = number(
        0,
        60,
        data_key="ACCESS_CACHE_SECONDS",
        load_default=2,
        metadata=doc(
            "How long a worker caches permissions and lease state; 0 checks the database on every read"
        ),
    )
    range_cache_dir = fields.String(
        data_key="RANGE_CACHE_DIR",
        load_default=None,
        metadata=doc("Directory of the block cache, shared by all workers; no cache when empty"),
    )
    range_cache_max_bytes = number(
        16 * MIB,
        10**15,
        data_key="RANGE_CACHE_MAX_BYTES",
        load_default=10 * 1024 * MIB,
        metadata=doc("Maximum size of the block cache in bytes"),
    )
    range_cache_block_bytes = number(
        64 * 1024,
        16 * MIB,
        data_key="RANGE_CACHE_BLOCK_BYTES",
        load_default=MIB,
        metadata=doc("Block size of the block cache in bytes"),
    )
    read_ahead_bytes = number(
        0,
        1024 * MIB,
        data_key="READ_AHEAD_BYTES",
        load_default=16 * MIB,
        metadata=doc(
            "How far the block cache is filled ahead of a reader that follows the image's boot trace; 0 never"
        ),
    )
    metrics_port = number(
        1,
        65_535,
        data_key="METRICS_PORT",
        load_default=None,
        metadata=doc("Port on METRICS_HOST that serves only /metrics; off when empty"),
    )
    metrics_host = matching(
        HOST_ADDRESS,
        "must be an address or host name",
        data_key="METRICS_HOST",
        load_default="127.0.0.1",
        metadata=doc("Listen address of METRICS_PORT; use 0.0.0.0 in a container scraped from outside"),
    )
    metrics_token = matching(
        re.compile(r"[!-~]{16,256}"),
        "must be 16 to 256 printable characters without spaces",
        data_key="METRICS_TOKEN",
        load_default=None,
        metadata=doc(
            "Bearer token for /metrics on PORT; /metrics is not served there when empty", secret=True
        ),
    )
    server_timing = boolean(
        data_key="SERVER_TIMING",
        load_default=False,
        metadata=doc("Send Server-Timing headers that break down the time of a read"),
    )
    tracing = boolean(
        data_key="TRACING",
        load_default=False,
        metadata=doc("Export OpenTelemetry traces as configured by the OTEL_EXPORTER_OTLP_* variables"),
    )
