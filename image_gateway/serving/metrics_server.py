"""The metrics process: serves /metrics on METRICS_PORT until its master exits."""

from __future__ import annotations

import logging
import os
import signal
import socketserver
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.edge.reports import EdgeReports
from image_gateway.observability.logs import configure_logging
from image_gateway.observability.metrics import EdgeReads
from image_gateway.observability.metrics_exposition import Exposition, Page
from image_gateway.serving.environment import read_settings_or_exit
from image_gateway.serving.metrics_process import family_of

_log = logging.getLogger("image_gateway")
RETRY_SECONDS = 1.0


class Handler(BaseHTTPRequestHandler):
    """Handles GET /metrics."""

    # Socket timeout in seconds.
    timeout = 10
    server: MetricsServer
    server_version = "image-gateway"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/metrics":
            self._respond(200, *self.server.render())
        else:
            self._respond(404, b"not found: only /metrics is served\n", "text/plain; charset=utf-8")

    def _respond(self, status: int, text: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log scrapes."""


class MetricsServer(ThreadingHTTPServer):
    """HTTP server with a thread per scrape; exits when `is_wanted` returns false."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], render: Callable[[], Page], is_wanted: Callable[[], bool]
    ) -> None:
        self.address_family = family_of(address[0])
        self.render = render
        self._is_wanted = is_wanted
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without a reverse DNS lookup of the host."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def service_actions(self) -> None:
        if not self._is_wanted():
            sys.exit()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("a metrics scrape failed", exc_info=error)


def main(folder: str, master: str) -> None:
    """Serve METRICS_PORT while the master is this process's parent.

    Args:
        folder: Directory of the workers' metrics files.
        master: Process id of the master.
    """
    # Ctrl-C in a terminal signals the whole process group, but the master decides when to stop.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = read_settings_or_exit()
    configure_logging(settings.log_level, settings.log_format)
    engine = open_engine(settings.database_url, pool_size=1, timeout=settings.catalog_timeout_seconds)
    catalog = Catalog(engine)
    reads = EdgeReads()
    more = [reads] if settings.edge_report_address else []
    exposition = Exposition(catalog.open_uploads, Path(folder), more, catalog.jobs.count)
    is_wanted = _is_child_of(int(master))
    address = (settings.metrics_host, settings.metrics_port or 0)
    if settings.edge_report_address:
        _receive_reports(settings.metrics_host, settings.edge_report_address, reads, is_wanted)
    with _open(address, exposition.render, is_wanted) as server:
        server.serve_forever()


def _is_child_of(master: int) -> Callable[[], bool]:
    return lambda: os.getppid() == master


def _receive_reports(host: str, address: str, reads: EdgeReads, is_wanted: Callable[[], bool]) -> None:
    """Receive reports on the port of EDGE_REPORT_ADDRESS; retries while an old master still uses it."""
    port = int(address.rpartition(":")[2])
    while is_wanted():
        try:
            EdgeReports((host, port), family_of(host), reads.count).start()
        except OSError as error:
            _log.warning("EDGE_REPORT_ADDRESS: port %d is in use, retrying: %s", port, error.strerror)
            time.sleep(RETRY_SECONDS)
        else:
            return


def _open(
    address: tuple[str, int], render: Callable[[], Page], is_wanted: Callable[[], bool]
) -> MetricsServer:
    """Listen on METRICS_PORT; retries while an old master still uses it."""
    while is_wanted():
        try:
            return MetricsServer(address, render, is_wanted)
        except OSError as error:
            _log.warning("METRICS_PORT=%d is in use, retrying: %s", address[1], error.strerror)
            time.sleep(RETRY_SECONDS)
    sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
