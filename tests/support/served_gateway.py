"""A gateway in the test's process that listens on 127.0.0.1."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import make_server

from image_gateway.app import create_app
from image_gateway.settings import Settings


@contextmanager
def served_gateway(settings: Settings) -> Iterator[str]:
    """Serve a gateway of these settings; yields its URL."""
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        server.server_close()
