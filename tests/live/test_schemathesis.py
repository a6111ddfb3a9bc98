"""Property-based tests of the contract against a running gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from tests.live.edge.conftest import Pair, running_pair
from tests.live.support import run_cli
from tests.support.contract import close_objects, load_contract

# How many examples, and in which phases; fewer through nginx, which passes on what it does not know.
SHORT, LONG, LONG_THROUGH_NGINX = (
    (1, "examples,fuzzing"),
    (4, "examples,coverage,fuzzing"),
    (1, "examples,coverage,fuzzing"),
)
SERVERS = [
    pytest.param(("gateway", SHORT), id="gateway-short", marks=pytest.mark.shallow),
    pytest.param(("gateway", LONG), id="gateway-long", marks=[pytest.mark.thorough, pytest.mark.deep]),
    pytest.param(("edge", LONG_THROUGH_NGINX), id="edge-long", marks=pytest.mark.thorough),
]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


@pytest.fixture
def closed_contract(tmp_path: Path, client: GatewayClient, environment: dict[str, str]) -> Path:
    """The contract with closed objects, and a real published image as the example of an id."""
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(4096))
    image_id = upload_file(client, file, parallel=1, on_bytes=lambda _: None).image_id
    assert run_cli(environment, "publish", image_id, "--chunk-size", "1024").returncode == 0
    contract = close_objects(load_contract())
    contract["components"]["parameters"]["ImageId"] |= {
        "example": image_id,
        "schema": {"type": "string", "anyOf": [{"const": image_id}, {}]},
    }
    # gunicorn itself refuses a URL of more than 8 KiB, or nginx before it.
    error = {"schema": {"$ref": "#/components/schemas/Error"}}
    # An error of a view has no body, unless gunicorn answers it.
    without_body = {"description": "The URL is too long"}
    refused = {"description": "The URL is too long", "content": {"text/html": {}, "application/json": error}}
    for operations in contract["paths"].values():
        for method in operations.keys() & {"get", "head", "post", "put", "patch", "delete", "options"}:
            is_view = "views" in operations[method]["tags"]
            operations[method]["responses"]["414"] = without_body if is_view else refused
    path = tmp_path / "openapi.yaml"
    path.write_text(yaml.safe_dump(contract))
    return path


def run(contract: Path, url: str, user: str, depth: tuple[int, str]) -> subprocess.CompletedProcess[str]:
    examples, phases = depth
    return subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            "run",
            str(contract),
            f"--url={url}",
            f"--max-examples={examples}",
            "--seed=20261122",
            f"--checks={','.join(CHECKS)}",
            f"--phases={phases}",
            "--suppress-health-check=all",
            "--warnings=off",
            f"--header=X-User-Id: {user}",
        ],
        text=True,
        capture_output=True,
        timeout=280,
        check=False,
        cwd=contract.parent,
    )


@pytest.fixture
def pair(environment: dict[str, str], tmp_path: Path) -> Iterator[Pair]:
    with running_pair(environment, tmp_path / "pair", EDGE_REQUESTS_PER_SECOND="100000") as running:
        yield running


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> tuple[str, tuple[int, str]]:
    """An address, the gateway's or that of nginx before another one, and how deeply to look there."""
    name, depth = request.param
    pair: Pair | None = request.getfixturevalue("pair") if name == "edge" else None
    gateway: LocalGateway = request.getfixturevalue("gateway")
    return gateway.url if pair is None else pair.edge.url, depth


def test_the_contract_is_kept(
    server: tuple[str, tuple[int, str]], client: GatewayClient, closed_contract: Path
) -> None:
    url, depth = server
    ended = run(closed_contract, url, client.who.credentials().headers["X-User-Id"], depth)
    assert ended.returncode == 0, ended.stdout[-6000:]


def test_an_undocumented_field_is_found(
    gateway: LocalGateway, client: GatewayClient, closed_contract: Path
) -> None:
    contract = yaml.safe_load(closed_contract.read_text())
    del contract["components"]["responses"]["Ok"]["content"]["application/json"]["schema"]["properties"]["ok"]
    contract["paths"] = {"/health": contract["paths"]["/health"]}
    contract["components"]["responses"]["Ok"]["content"]["application/json"]["schema"]["required"] = []
    closed_contract.write_text(yaml.safe_dump(contract))
    ended = run(closed_contract, gateway.url, client.who.credentials().headers["X-User-Id"], LONG)
    assert ended.returncode == 1
    assert "Response violates schema" in ended.stdout
