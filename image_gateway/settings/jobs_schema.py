"""Settings of background jobs: workers, sources and imports from URLs."""

from __future__ import annotations

from marshmallow import Schema

from image_gateway.settings.fields import Words, boolean, doc, number


class JobsSchema(Schema):
    """Background jobs."""

    worker_concurrency = number(
        1,
        64,
        data_key="WORKER_CONCURRENCY",
        load_default=2,
        metadata=doc("Jobs that one `image-gateway worker` runs at a time; each holds up to 160 MiB"),
    )
    worker_claim_seconds = number(
        2,
        3600,
        data_key="WORKER_CLAIM_SECONDS",
        load_default=60,
        metadata=doc("Seconds after which another worker takes over the jobs of a worker that died"),
    )
    keep_source_objects = boolean(
        data_key="KEEP_SOURCE_OBJECTS",
        load_default=False,
        metadata=doc("Keep the uploaded or imported object after its conversion"),
    )
    import_allow_http = boolean(
        data_key="IMPORT_ALLOW_HTTP",
        load_default=False,
        metadata=doc("Also import from `http` URLs"),
    )
    import_allow_private = boolean(
        data_key="IMPORT_ALLOW_PRIVATE",
        load_default=False,
        metadata=doc("Also import from private, loopback and other addresses that are not public"),
    )
    import_allowed_hosts = Words(
        data_key="IMPORT_ALLOWED_HOSTS",
        load_default=(),
        metadata=doc(
            "Host names from which imports are allowed, comma-separated; `*.example.org` allows all names "
            "below one; any public host when empty",
        ),
    )
    import_connect_seconds = number(
        1,
        300,
        data_key="IMPORT_CONNECT_TIMEOUT_SECONDS",
        load_default=10,
        metadata=doc("Timeout for resolving and connecting to the host of an import"),
    )
    import_stall_seconds = number(
        1,
        3600,
        data_key="IMPORT_STALL_TIMEOUT_SECONDS",
        load_default=60,
        metadata=doc("An import is interrupted when no byte arrives for so long"),
    )
