"""A delta over an empty image, and its exporters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.deltas.calls import DeltasClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploading
from tests.support.exporter import Exporter

MIB = 1024 * 1024
SIZE = 32 * MIB

StartExporter = Callable[..., Exporter]
Download = Callable[[Path], Path]


@pytest.fixture
def delta_id(client: GatewayClient, tmp_path: Path) -> str:
    """A delta over an image of zeros."""
    file = tmp_path / "zeros.img"
    with file.open("wb") as image:
        image.truncate(SIZE)
    image_id = Uploading(client, file, retrier=Retrier(30), parallel=2).begin().image_id
    return str(DeltasClient(client).create(image_id)["deltaId"])


@pytest.fixture
def export(client: GatewayClient, delta_id: str, tmp_path: Path) -> Iterator[StartExporter]:
    """Starts exporters of the delta; they end with the test."""
    started: list[Exporter] = []
    user = client.who.credentials().headers["X-User-Id"]
    variables = {"IMAGE_GATEWAY_API": client.base_url, "IMAGE_GATEWAY_USER": user}

    def start(*options: str) -> Exporter:
        started.append(Exporter(variables, delta_id, tmp_path / "exporters", *options))
        return started[-1]

    yield start
    for exporter in started:
        exporter.kill()


@pytest.fixture
def download(client: GatewayClient, delta_id: str) -> Download:
    """Writes the delta's disk, as the gateway has it, into a file."""

    def download(target: Path) -> Path:
        url = f"{client.base_url}/v1/deltas/{delta_id}/disk.img"
        answer = urllib3.request("GET", url, headers=client.who.credentials().headers)
        assert (answer.status, len(answer.data)) == (200, SIZE)
        target.write_bytes(answer.data)
        return target

    return download
