"""Running the command line, and raw HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "image-gateway"


def run_cli(
    environment: Mapping[str, str], *arguments: str, cwd: Path | None = None, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `image-gateway` to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **environment},
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def exchange(url: str, request: bytes) -> bytes:
    """Send raw bytes and return everything that comes until the server closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        received = bytearray()
        while block := connection.recv(65_536):
            received += block
    return bytes(received)
