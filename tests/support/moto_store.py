"""moto's S3 over HTTP, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from image_gateway.storage.client import StoreAddress


@contextmanager
def running_moto() -> Iterator[StoreAddress]:
    """The address of a server without buckets."""
    # It logs whole URLs, signatures included.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield StoreAddress(
        "images", "us-east-1", f"http://{host}:{port}", path_style=True, credentials=("key", "secret")
    )
    server.stop()
