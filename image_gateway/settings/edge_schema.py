"""Settings for nginx in front of the gateway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema

from image_gateway.protocol.parts import MIB
from image_gateway.settings.fields import HOST_ADDRESS, Address, Addresses, Networks, doc, matching, number

# Excludes every character with a special meaning in nginx.conf.
_PATH = re.compile(r"/[A-Za-z0-9._/-]{0,512}", re.ASCII)
_PATH_RULE = "must be an absolute path of letters, digits, dots, hyphens and slashes"


class EdgeSchema(Schema):
    """Values for the nginx.conf that `image-gateway edge config` renders."""

    edge_token = matching(
        re.compile(r"[A-Za-z0-9._~-]{32,256}", re.ASCII),
        "must be 32 to 256 letters, digits and . _ ~ -, as from openssl rand -hex 32",
        data_key="EDGE_TOKEN",
        load_default=None,
        metadata=doc(
            "Shared secret with which nginx authenticates its permission checks to the gateway", secret=True
        ),
    )
    edge_host = matching(
        HOST_ADDRESS,
        "must be an address or host name",
        data_key="EDGE_HOST",
        load_default="127.0.0.1",
        metadata=doc("nginx listen address"),
    )
    edge_port = number(1, 65_535, data_key="EDGE_PORT", load_default=8080, metadata=doc("nginx listen port"))
    edge_internal_port = number(
        1,
        65_535,
        data_key="EDGE_INTERNAL_PORT",
        load_default=8081,
        metadata=doc("Port on 127.0.0.1 for nginx's internal requests for whole slices"),
    )
    edge_tls_certificate = matching(
        _PATH,
        _PATH_RULE,
        data_key="EDGE_TLS_CERTIFICATE",
        load_default=None,
        metadata=doc("PEM file with the TLS certificate and chain; plain HTTP when empty"),
    )
    edge_tls_certificate_key = matching(
        _PATH,
        _PATH_RULE,
        data_key="EDGE_TLS_CERTIFICATE_KEY",
        load_default=None,
        metadata=doc("PEM file with the private key of the TLS certificate"),
    )
    edge_user = matching(
        re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII),
        "must be a user name",
        data_key="EDGE_USER",
        load_default=None,
        metadata=doc("User of the nginx workers, such as www-data; the nginx default when empty"),
    )
    edge_workers = number(
        1,
        256,
        data_key="EDGE_WORKERS",
        load_default=None,
        metadata=doc("nginx worker processes; one per core when empty"),
    )
    edge_worker_connections = number(
        64,
        1_000_000,
        data_key="EDGE_WORKER_CONNECTIONS",
        load_default=8192,
        metadata=doc("Connections per nginx worker, including those to gateways and the store"),
    )
    edge_gateway = Addresses(
        data_key="EDGE_GATEWAY",
        load_default=(),
        metadata=doc("Upstream gateways as host:port, comma-separated; HOST:PORT when empty"),
    )
    edge_resolver = matching(
        re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}", re.ASCII),
        "must be a DNS server address",
        data_key="EDGE_RESOLVER",
        load_default=None,
        metadata=doc(
            "DNS server for re-resolving the store's name at run time; resolved once at start when empty"
        ),
    )
    edge_ca_file = matching(
        _PATH,
        _PATH_RULE,
        data_key="EDGE_CA_FILE",
        load_default="/etc/ssl/certs/ca-certificates.crt",
        metadata=doc("CA bundle with which nginx verifies an https store"),
    )
    edge_real_ip_from = Networks(
        data_key="EDGE_REAL_IP_FROM",
        load_default=(),
        metadata=doc("Networks of load balancers in front of nginx whose X-Forwarded-For is trusted"),
    )
    edge_cache_dir = matching(
        _PATH,
        _PATH_RULE,
        data_key="EDGE_CACHE_DIR",
        load_default="/var/cache/nginx",
        metadata=doc("Directory for nginx's slice cache and temporary files"),
    )
    edge_cache_max_bytes = number(
        0,
        10**15,
        data_key="EDGE_CACHE_MAX_BYTES",
        load_default=10 * 1024 * MIB,
        metadata=doc("Maximum size of the slice cache in bytes; 0 disables the cache"),
    )
    edge_slice_bytes = number(
        64 * 1024,
        16 * MIB,
        data_key="EDGE_SLICE_BYTES",
        load_default=MIB // 2,
        metadata=doc("Slice size in bytes; a change makes all cached slices useless"),
    )
    edge_run_dir = matching(
        _PATH,
        _PATH_RULE,
        data_key="EDGE_RUN_DIR",
        load_default="/run",
        metadata=doc(
            "Directory for nginx's pid file, permission cache and temporary slices; preferably a tmpfs"
        ),
    )
    edge_log_dir = matching(
        _PATH,
        _PATH_RULE,
        data_key="EDGE_LOG_DIR",
        load_default="/var/log/nginx",
        metadata=doc("Directory of nginx's access.log and error.log"),
    )
    edge_connections_per_address = number(
        1,
        65_535,
        data_key="EDGE_CONNECTIONS_PER_ADDRESS",
        load_default=512,
        metadata=doc("Maximum concurrent requests per client address in nginx"),
    )
    edge_requests_per_second = number(
        1,
        100_000,
        data_key="EDGE_REQUESTS_PER_SECOND",
        load_default=200,
        metadata=doc("Maximum requests per second and client address to the gateway; image reads are exempt"),
    )
    edge_report_address = Address(
        data_key="EDGE_REPORT_ADDRESS",
        load_default=None,
        metadata=doc(
            "UDP host:port to which nginx reports reads and errors; the METRICS_PORT process receives them"
        ),
    )

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_tls(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        pair = ("EDGE_TLS_CERTIFICATE", "EDGE_TLS_CERTIFICATE_KEY")
        missing = [name for name in pair if name not in given]
        if len(missing) == 1:
            raise ValidationError({missing[0]: ["is missing: TLS needs both certificate and key"]})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_report_address(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        if "EDGE_REPORT_ADDRESS" in given and "METRICS_PORT" not in given:
            text = "needs METRICS_PORT: its process receives the reports"
            raise ValidationError({"EDGE_REPORT_ADDRESS": [text]})
