"""Renders nginx's configuration for several sets of settings, and lets nginx and gixy check each.

check_edge.py: without nginx on this machine only gixy looks, and the output says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from image_gateway.components import store_address
from image_gateway.edge.config import render_config
from image_gateway.local.edge import require_nginx
from image_gateway.local.processes import StartFailed
from image_gateway.settings import load_settings

SECONDS = 60
# host_spoofing: the gateway needs the client's Host with its port for the URLs that it hands out, and judges
# it by PUBLIC_URL and ALLOWED_HOSTS. missing_resolver: a variable names the path, the host is an upstream.
# hsts_header: a promise about a whole host is its owner's to make. add_header_content_type: default_type
# takes no variable, and the empty errors of views have no type.
ACCEPTED = "host_spoofing,missing_resolver,hsts_header,add_header_content_type"
LOCAL = {"S3_ENDPOINT": "http://127.0.0.1:8333", "S3_FORCE_PATH_STYLE": "true"}
VARIANTS = {
    "a store on this machine": LOCAL,
    "no cache": {**LOCAL, "EDGE_CACHE_MAX_BYTES": "0"},
    "AWS, TLS, load balancers": {
        "EDGE_TLS_CERTIFICATE": "{folder}/certificate.pem",
        "EDGE_TLS_CERTIFICATE_KEY": "{folder}/key.pem",
        "EDGE_RESOLVER": "127.0.0.1",
        "EDGE_REAL_IP_FROM": "10.0.0.0/8,fd00::/8",
        "EDGE_GATEWAY": "127.0.0.1:3000,127.0.0.1:3001",
        "EDGE_HOST": "::1",
        "EDGE_WORKERS": "4",
        "EDGE_USER": "{user}",
        "CORS_ALLOW_ORIGIN": "https://app.example.com,https://other.example.com:8443",
        "METRICS_PORT": "9090",
        "EDGE_REPORT_ADDRESS": "127.0.0.1:8125",
    },
}


def main() -> int:
    """Check every variant; 1 when one has a fault."""
    try:
        nginx: str | None = require_nginx()
    except StartFailed as error:
        nginx = None
        print(f"nginx does not check its configuration: {error}", file=sys.stderr)
    faults = 0
    for name, variables in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            config = _render(Path(folder), variables)
            commands = [[str(Path(sys.executable).parent / "gixy"), "--skips", ACCEPTED, str(config)]]
            if nginx is not None:
                commands.append([nginx, "-t", "-q", "-c", str(config), "-e", f"{folder}/error.log"])
            for command in commands:
                ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
                if ended.returncode:
                    faults += 1
                    print(f"{name}: {Path(command[0]).name}\n{ended.stdout}{ended.stderr}", file=sys.stderr)
    return 1 if faults else 0


def _render(folder: Path, variables: dict[str, str]) -> Path:
    _make_certificate(folder)
    places = {name: str(folder) for name in ("EDGE_CACHE_DIR", "EDGE_RUN_DIR", "EDGE_LOG_DIR")}
    given = {
        "S3_BUCKET": "images",
        "AWS_REGION": "eu-central-1",
        "EDGE_TOKEN": "0" * 32,
        "EDGE_CA_FILE": f"{folder}/certificate.pem",
        **places,
        **{name: text.format(folder=folder, user="www-data") for name, text in variables.items()},
    }
    settings = load_settings(given)
    config = folder / "nginx.conf"
    config.write_text(render_config(settings, store_address(settings)))
    return config


def _make_certificate(folder: Path) -> None:
    key = generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)


if __name__ == "__main__":
    sys.exit(main())
