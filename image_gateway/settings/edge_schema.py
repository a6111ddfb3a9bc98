"""The variables about nginx in front of the gateway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema

from image_gateway.protocol.parts import MIB
from image_gateway.settings.fields import HOST_ADDRESS, Address, Addresses, Networks, doc, matching, number

# Nothing that means something in a configuration of nginx.
_PATH = re.compile(r"/[A-Za-z0-9._/-]{0,512}", re.ASCII)
_A_PATH = "must be an absolute path of letters, digits, dots, hyphens and slashes"


class EdgeSchema(Schema):
    """What `image-gateway edge config` writes into nginx's configuration."""

    edge_token = matching(
        re.compile(r"[A-Za-z0-9._~-]{32,256}", re.ASCII),
        "must be 32 to 256 letters, digits and . _ ~ -: openssl rand -hex 32",
        data_key="EDGE_TOKEN",
        load_default=None,
        metadata=doc("Shared by gateway and nginx, which asks with it who may read", secret=True),
    )
    edge_host = matching(
        HOST_ADDRESS,
        "must be an address or host name",
        data_key="EDGE_HOST",
        load_default="127.0.0.1",
        metadata=doc("Address that nginx listens on"),
    )
    edge_port = number(
        1, 65_535, data_key="EDGE_PORT", load_default=8080, metadata=doc("Port that nginx listens on")
    )
    edge_internal_port = number(
        1,
        65_535,
        data_key="EDGE_INTERNAL_PORT",
        load_default=8081,
        metadata=doc("Port on 127.0.0.1 by which nginx asks itself for whole slices"),
    )
    edge_tls_certificate = matching(
        _PATH,
        _A_PATH,
        data_key="EDGE_TLS_CERTIFICATE",
        load_default=None,
        metadata=doc("PEM file with certificate and chain; plain HTTP when empty"),
    )
    edge_tls_certificate_key = matching(
        _PATH,
        _A_PATH,
        data_key="EDGE_TLS_CERTIFICATE_KEY",
        load_default=None,
        metadata=doc("PEM file with the certificate's private key"),
    )
    edge_user = matching(
        re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII),
        "must be the name of a user",
        data_key="EDGE_USER",
        load_default=None,
        metadata=doc("User of nginx's workers, such as www-data; nginx's own default when empty"),
    )
    edge_workers = number(
        1,
        256,
        data_key="EDGE_WORKERS",
        load_default=None,
        metadata=doc("nginx worker processes; one for each core when empty"),
    )
    edge_worker_connections = number(
        64,
        1_000_000,
        data_key="EDGE_WORKER_CONNECTIONS",
        load_default=8192,
        metadata=doc("Connections of each nginx worker, to clients, gateways and the store together"),
    )
    edge_gateway = Addresses(
        data_key="EDGE_GATEWAY",
        load_default=(),
        metadata=doc("Gateways behind nginx as host:port, comma-separated; HOST:PORT when empty"),
    )
    edge_resolver = matching(
        re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}", re.ASCII),
        "must be the address of a DNS server",
        data_key="EDGE_RESOLVER",
        load_default=None,
        metadata=doc(
            "DNS server that nginx asks for the store's addresses while it runs; at start when empty"
        ),
    )
    edge_ca_file = matching(
        _PATH,
        _A_PATH,
        data_key="EDGE_CA_FILE",
        load_default="/etc/ssl/certs/ca-certificates.crt",
        metadata=doc("Certificates that nginx trusts for a store with https"),
    )
    edge_real_ip_from = Networks(
        data_key="EDGE_REAL_IP_FROM",
        load_default=(),
        metadata=doc("Load balancers in front of nginx as networks, whose X-Forwarded-For is believed"),
    )
    edge_cache_dir = matching(
        _PATH,
        _A_PATH,
        data_key="EDGE_CACHE_DIR",
        load_default="/var/cache/nginx",
        metadata=doc("Folder for nginx's cached slices, and for large requests and answers in transit"),
    )
    edge_cache_max_bytes = number(
        0,
        10**15,
        data_key="EDGE_CACHE_MAX_BYTES",
        load_default=10 * 1024 * MIB,
        metadata=doc("Most bytes that cached slices take; 0 for no cache"),
    )
    edge_slice_bytes = number(
        64 * 1024,
        16 * MIB,
        data_key="EDGE_SLICE_BYTES",
        load_default=MIB // 2,
        metadata=doc("Size of a slice; changing it empties the cache in effect"),
    )
    edge_run_dir = matching(
        _PATH,
        _A_PATH,
        data_key="EDGE_RUN_DIR",
        load_default="/run",
        metadata=doc("Folder for nginx's pid, its cached permissions and slices in transit; best in memory"),
    )
    edge_log_dir = matching(
        _PATH,
        _A_PATH,
        data_key="EDGE_LOG_DIR",
        load_default="/var/log/nginx",
        metadata=doc("Folder of nginx's access.log and error.log"),
    )
    edge_connections_per_address = number(
        1,
        65_535,
        data_key="EDGE_CONNECTIONS_PER_ADDRESS",
        load_default=512,
        metadata=doc("Requests that one address may have running in nginx at once"),
    )
    edge_requests_per_second = number(
        1,
        100_000,
        data_key="EDGE_REQUESTS_PER_SECOND",
        load_default=200,
        metadata=doc("Requests per second and address that nginx passes to the gateway; bytes do not count"),
    )
    edge_report_address = Address(
        data_key="EDGE_REPORT_ADDRESS",
        load_default=None,
        metadata=doc(
            "Where nginx reports reads and errors by UDP, as host:port; the process of METRICS_PORT listens"
        ),
    )

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_tls(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        pair = ("EDGE_TLS_CERTIFICATE", "EDGE_TLS_CERTIFICATE_KEY")
        missing = [name for name in pair if name not in given]
        if len(missing) == 1:
            raise ValidationError({missing[0]: ["is missing: TLS needs certificate and key"]})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_report_address(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        if "EDGE_REPORT_ADDRESS" in given and "METRICS_PORT" not in given:
            text = "needs METRICS_PORT, whose process receives the reports"
            raise ValidationError({"EDGE_REPORT_ADDRESS": [text]})
