"""moto's S3 over HTTP, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from moto.backends import get_backend
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


def date_object(bucket: str, key: str, moment: datetime) -> None:
    """Set the Last-Modified of an object in moto, which dates by the clock of this machine."""
    for backends in get_backend("s3").values():
        for backend in backends.values():
            if bucket in backend.buckets:
                backend.get_object(bucket, key).last_modified = moment.replace(tzinfo=None)
                return
    raise LookupError(bucket)
