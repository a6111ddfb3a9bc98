"""What the tests of the console put into their gateway, and read of it, without its pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from image_gateway.client.api import GatewayClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploading


def upload(
    client: GatewayClient, file: Path, name: str | None = None, image_format: str | None = None
) -> str:
    """Upload a file as an image, and return its id; the worker converts formats other than raw."""
    uploading = Uploading(client, file, retrier=Retrier(30), parallel=2)
    return uploading.begin(name=name or file.name, image_format=image_format).image_id


class GrowingLog:
    """What a process logs from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._start = file.stat().st_size

    def text(self) -> str:
        with self._file.open("rb") as file:
            file.seek(self._start)
            return file.read().decode()

    def lines(self, logger: str) -> list[dict[str, Any]]:
        """The lines of one logger."""
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [line for line in lines if line["logger"] == logger]
