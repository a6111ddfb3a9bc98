"""The variables about streaming through the gateway, and about watching it."""

from __future__ import annotations

import re

from marshmallow import Schema, fields

from image_gateway.protocol.parts import MIB
from image_gateway.settings.fields import HOST_ADDRESS, boolean, doc, matching, number


class StreamingSchema(Schema):
    """Streams, the block cache, metrics."""

    send_timeout_seconds = number(
        1,
        3600,
        data_key="SEND_TIMEOUT_SECONDS",
        load_default=30,
        metadata=doc("How long a client may read nothing of an answer, or take to send a request"),
    )
    max_streams = number(
        1,
        1024,
        data_key="MAX_STREAMS",
        load_default=None,
        metadata=doc("Bodies that each worker streams at once; three quarters of WEB_THREADS when empty"),
    )
    max_streams_per_user = number(
        1,
        1024,
        data_key="MAX_STREAMS_PER_USER",
        load_default=None,
        metadata=doc("Of these for one user, link or address; a quarter of them, at least 8, when empty"),
    )
    stream_queue_seconds = number(
        0,
        60,
        data_key="STREAM_QUEUE_SECONDS",
        load_default=5,
        metadata=doc("How long a read waits for one of these before it is answered 503"),
    )
    access_cache_seconds = number(
        0,
        60,
        data_key="ACCESS_CACHE_SECONDS",
        load_default=2,
        metadata=doc(
            "How long a worker may go on by what it knew of an image or lease; 0 asks at every read"
        ),
    )
    range_cache_dir = fields.String(
        data_key="RANGE_CACHE_DIR",
        load_default=None,
        metadata=doc("Folder for blocks that were read, shared by all workers; no cache when empty"),
    )
    range_cache_max_bytes = number(
        16 * MIB,
        10**15,
        data_key="RANGE_CACHE_MAX_BYTES",
        load_default=10 * 1024 * MIB,
        metadata=doc("Most bytes that cached blocks take"),
    )
    range_cache_block_bytes = number(
        64 * 1024,
        16 * MIB,
        data_key="RANGE_CACHE_BLOCK_BYTES",
        load_default=MIB,
        metadata=doc("Size of a cached block"),
    )
    metrics_port = number(
        1,
        65_535,
        data_key="METRICS_PORT",
        load_default=None,
        metadata=doc("Port on METRICS_HOST that serves /metrics and nothing else"),
    )
    metrics_host = matching(
        HOST_ADDRESS,
        "must be an address or host name",
        data_key="METRICS_HOST",
        load_default="127.0.0.1",
        metadata=doc("Address of METRICS_PORT; 0.0.0.0 in a container, where Prometheus is elsewhere"),
    )
    metrics_token = matching(
        re.compile(r"[!-~]{16,256}"),
        "must be 16 to 256 printable characters without blanks",
        data_key="METRICS_TOKEN",
        load_default=None,
        metadata=doc(
            "Bearer token for /metrics on the gateway's own port; not served there when empty", secret=True
        ),
    )
    server_timing = boolean(
        data_key="SERVER_TIMING",
        load_default=False,
        metadata=doc("Tell browsers in Server-Timing where the time of a read went"),
    )
    tracing = boolean(
        data_key="TRACING",
        load_default=False,
        metadata=doc("Send OpenTelemetry traces as OTEL_EXPORTER_OTLP_ENDPOINT and its kin say"),
    )
