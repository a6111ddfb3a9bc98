"""How gunicorn runs the gateway; sizes come from the environment, by way of the settings."""

from __future__ import annotations

import logging
import sys
from typing import Any

from image_gateway.observability.metrics_folder import keep_numbers, share_numbers
from image_gateway.serving.environment import read_settings_or_exit, share_lease_key

_settings = read_settings_or_exit()
# First of all: where metrics are kept is decided when the instruments are imported.
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

limit_malloc_arenas()
_metrics = MetricsProcess(_settings)
share_lease_key(_settings)

bind = [
    f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
]
workers = _settings.web_workers
threads = _settings.web_threads
worker_class = "gthread"
# An idle connection costs a descriptor and a little memory, no thread; beyond this no more are accepted.
worker_connections = raise_descriptor_limit(max(1000, 4 * threads), threads)
# Bursts queue in the kernel, up to its own net.core.somaxconn.
backlog = 2048
# A worker whose main loop is stuck this long is replaced; bodies may take as long as they like.
timeout = 60
graceful_timeout = _settings.graceful_timeout_seconds
keepalive = 75
preload_app = False
# One path for all instances of a user, and a way in that nobody here needs.
control_socket_disable = True
# URLs up to 8 KiB, and Range and If-None-Match up to 16 KiB, are the gateway's to judge.
limit_request_line = 8190
limit_request_field_size = 20_480
# gunicorn collects fields x field size of a head before it refuses it, and takes 5 s of CPU time for 6 MB.
limit_request_fields = 100
# X-Forwarded-* is believed only by TRUSTED_PROXY_HOPS; gunicorn's default trusts every local client.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
# The app writes a line for each request; --access-logfile adds gunicorn's own.
accesslog = None
logger_class = "image_gateway.serving.access_log.AccessLogger"
logconfig_dict = logging_config(_settings.log_level, _settings.log_format)


def _hosts(server: Any) -> list[str]:
    return [address[0] for address in server.cfg.address if isinstance(address, tuple)]


def on_starting(server: Any) -> None:
    """Refuse the sync worker: it kills every body that takes longer than `timeout`."""
    if server.cfg.worker_class_str == "sync":
        server.log.error("the sync worker cuts long bodies off: leave worker_class at gthread")
        sys.exit(78)
    refuse_open_dev(_settings, _hosts(server))
    check_startup(_settings)


def when_ready(server: Any) -> None:
    """Say what was started, and which host presigned URLs name."""
    log = logging.getLogger("image_gateway")
    log.info("image-gateway listens on %s with %d workers x %d threads", bind[0], workers, threads)
    for line in describe_endpoints(_settings):
        log.info(line)
    hosts = _hosts(server)
    for line in [*warn_of_any_host(_settings, hosts), *warn_of_no_front_door(_settings, hosts)]:
        log.warning(line)
    STOPPING.set_on_sigterm(min(DRAIN_SECONDS, graceful_timeout / 10))
    _metrics.start()


def post_fork(server: Any, worker: Any) -> None:
    """Give the worker's connections time-outs, which gunicorn does not have."""
    if server.cfg.worker_class_str == worker_class:
        seconds = _settings.send_timeout_seconds
        worker.sockets = [ListeningSocket(listener, seconds) for listener in worker.sockets]


def post_worker_init(worker: Any) -> None:
    """Let the worker stop in time."""
    if worker.cfg.worker_class_str == worker_class:
        hurry_on_sigterm(worker)


def child_exit(server: Any, worker: Any) -> None:
    """Keep the numbers of a worker that ended."""
    _metrics.tend(server.WORKERS)


def on_reload(server: Any) -> None:
    """Look after the process that serves metrics."""
    _metrics.tend(server.WORKERS)


def on_exit(server: Any) -> None:
    """End the process that serves metrics, after the workers."""
    _metrics.stop()
