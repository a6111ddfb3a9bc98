"""Gateway and store as child processes, while another one has their port."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from image_gateway.local import seaweed
from image_gateway.local.gateway import start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import StartFailed
from image_gateway.local.seaweed import LocalStore, start_local_store


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing, into no log."""


def test_another_server_on_the_port_is_not_taken_for_the_gateway(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        port = other.server_address[1]
        try:
            with pytest.raises(StartFailed, match=f"port {port} is taken"):
                start_gateway(environment, port=port, log=tmp_path / "gateway.log").stop()
        finally:
            other.shutdown()


def test_another_store_on_the_port_is_not_taken_for_the_own(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the other one took the port between the look and the start."""
    taken = int((store.address.endpoint or "").rsplit(":", 1)[1])
    answers = iter([[taken, *find_free_ports(9)], find_free_ports(10)])
    monkeypatch.setattr(seaweed, "find_free_ports", lambda *_, **__: next(answers))
    own = start_local_store(tmp_path, bucket=store.address.bucket)
    try:
        assert own.address.endpoint != store.address.endpoint
    finally:
        own.stop()
