"""The gunicorn configuration, derived from the gateway's settings."""

from __future__ import annotations

import logging
import sys
from typing import Any

from image_gateway.observability.metrics_folder import keep_numbers, share_numbers
from image_gateway.serving.environment import read_settings_or_exit, share_lease_key

_settings = read_settings_or_exit()
# Must precede the other imports: prometheus_client picks its storage when metrics are created.
if _settings.metrics_port or _settings.metrics_token:
    share_numbers()
else:
    keep_numbers()

# ruff: noqa: E402
from image_gateway.observability.logs import logging_config
from image_gateway.serving.client_sockets import ListeningSocket
from image_gateway.serving.lifecycle import (
    DRAIN_SECONDS,
    STOPPING,
    hurry_on_sigterm,
    limit_malloc_arenas,
    raise_descriptor_limit,
)
from image_gateway.serving.metrics_process import MetricsProcess
from image_gateway.serving.startup import (
    check_startup,
    describe_endpoints,
    refuse_open_dev,
    warn_of_any_host,
    warn_of_no_front_door,
)
from image_gateway.settings.descriptors import wanted_connections

limit_malloc_arenas()
_metrics = MetricsProcess(_settings)
share_lease_key(_settings)

bind = [
    f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
]
workers = _settings.web_workers
threads = _settings.web_threads
worker_class = "gthread"
# An idle connection occupies a file descriptor but no thread; above this limit none are accepted.
worker_connections = raise_descriptor_limit(wanted_connections(threads), threads)
# The kernel caps the listen backlog at net.core.somaxconn.
backlog = 2048
# Applies to the worker's main loop, not to the duration of responses.
timeout = 60
graceful_timeout = _settings.graceful_timeout_seconds
keepalive = 75
preload_app = False
# All instances of a user would share one socket path, and the socket is not needed.
control_socket_disable = True
# The gateway itself rejects URLs above 8 KiB, and Range and If-None-Match above 16 KiB.
limit_request_line = 8190
limit_request_field_size = 20_480
# gunicorn buffers up to fields x field size before it rejects a header; 6 MB takes 5 s of CPU time.
limit_request_fields = 100
# X-Forwarded-* is handled by TRUSTED_PROXY_HOPS; gunicorn's default trusts every local client.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
# The app logs requests itself; --access-logfile adds gunicorn's access log.
accesslog = None
logger_class = "image_gateway.serving.access_log.AccessLogger"
logconfig_dict = logging_config(_settings.log_level, _settings.log_format)


def _listen_hosts(server: Any) -> list[str]:
    return [address[0] for address in server.cfg.address if isinstance(address, tuple)]


def on_starting(server: Any) -> None:
    """Run the startup checks; reject the sync worker, which kills responses longer than `timeout`."""
    if server.cfg.worker_class_str == "sync":
        server.log.error(
            "the sync worker kills responses that take longer than its timeout: use worker_class gthread"
        )
        sys.exit(78)
    refuse_open_dev(_settings, _listen_hosts(server))
    check_startup(_settings)


def when_ready(server: Any) -> None:
    """Log the configuration and warnings, and start the metrics process."""
    log = logging.getLogger("image_gateway")
    log.info("image-gateway listens on %s with %d workers x %d threads", bind[0], workers, threads)
    for line in describe_endpoints(_settings):
        log.info(line)
    hosts = _listen_hosts(server)
    for line in [*warn_of_any_host(_settings, hosts), *warn_of_no_front_door(_settings, hosts)]:
        log.warning(line)
    STOPPING.set_on_sigterm(min(DRAIN_SECONDS, graceful_timeout / 10))
    _metrics.start()


def post_fork(server: Any, worker: Any) -> None:
    """Add client timeouts to the worker's sockets."""
    if server.cfg.worker_class_str == worker_class:
        seconds = _settings.send_timeout_seconds
        worker.sockets = [ListeningSocket(listener, seconds) for listener in worker.sockets]


def post_worker_init(worker: Any) -> None:
    """Install the worker's SIGTERM handler."""
    if worker.cfg.worker_class_str == worker_class:
        hurry_on_sigterm(worker)


def child_exit(server: Any, worker: Any) -> None:
    """Merge the metrics of the exited worker."""
    _metrics.tend(server.WORKERS)


def on_reload(server: Any) -> None:
    """Restart the metrics process if it exited."""
    _metrics.tend(server.WORKERS)


def on_exit(server: Any) -> None:
    """Stop the metrics process after the workers."""
    _metrics.stop()
