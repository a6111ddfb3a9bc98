"""`image-gateway nbd` as a process."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from image_gateway.local.processes import ManagedProcess
from tests.support.nbd import enter

COMMAND = (str(Path(sys.executable).parent / "image-gateway"), "nbd")
# Starts ten times as fast: the other commands import databases and stores.
ALONE = (sys.executable, "-c", "from image_gateway.cli.nbd import nbd; nbd()")
START_SECONDS = 60
SECONDS = 30


class Exporter:
    """A running exporter of a delta.

    Attributes:
        facts: What it printed when it was ready.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        delta_id: str,
        folder: Path,
        *options: str,
        command: Sequence[str] = ALONE,
    ) -> None:
        folder.mkdir(exist_ok=True)
        where = () if "--address" in options else ("--socket", str(folder / "disk.sock"))
        self.process = ManagedProcess(
            "the exporter",
            [*command, delta_id, *where, "--json", *options],
            env={**os.environ, **environment},
            log=folder / f"exporter-{len(list(folder.glob('exporter-*')))}.log",
        )
        self.process.wait_until(lambda: self._announced() is not None, seconds=START_SECONDS)
        self.facts: dict[str, Any] = json.loads(self._announced() or "")
        self._clients: list[socket.socket] = []

    @property
    def uri(self) -> str:
        return str(self.facts["uri"])

    @property
    def said(self) -> str:
        """All that it printed so far, as one line."""
        return " ".join(self.process.log.read_text(errors="replace").split())

    def connect(self) -> socket.socket:
        """Return a connection of a client that is in the transmission."""
        parts = urlsplit(self.uri)
        if parts.scheme == "nbd":
            client = socket.create_connection((parts.hostname, parts.port), SECONDS)
        else:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(SECONDS)
            client.connect(unquote(parts.query.removeprefix("socket=")))
        self._clients.append(client)
        enter(client)
        return client

    def kill(self) -> None:
        """Kill the process, and close the connections to it."""
        self.process.kill()
        for client in self._clients:
            client.close()

    def _announced(self) -> str | None:
        lines = self.process.log.read_text(errors="replace").splitlines()
        return next((line for line in lines if line.startswith("{") and line.endswith("}")), None)
