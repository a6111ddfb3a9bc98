"""nginx as `image-gateway edge config` sets it up, before a real gateway and a real store."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.components import store_address
from image_gateway.local.edge import LocalEdge, edge_environment, start_edge
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import LocalStore
from image_gateway.settings import load_settings
from tests.live.support import run_cli
from tests.support.nginx import require_nginx_or_skip

SLICE = 65_536
SIZE = 3 * SLICE + 9 * 512
CHUNK = 96 * 512
DATA = random.Random(10).randbytes(SIZE)
LEASE_KEYS = f"k1:{'1' * 40}"


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        return json.loads(self.body)["error"]["code"] if self.status >= 400 and self.body else None


# What differs between any two answers, or says which server it was.
_OF_THE_MOMENT = {"date", "server", "connection", "keep-alive", "x-request-id"}


@dataclass(frozen=True)
class Pair:
    """A gateway and the nginx in front of it."""

    gateway: LocalGateway
    edge: LocalEdge
    environment: dict[str, str]
    folder: Path

    def client(self, user: str) -> GatewayClient:
        return GatewayClient(self.edge.url, user)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        direct: bool = False,
        body: bytes | None = None,
    ) -> Answer:
        """Ask nginx, or the gateway behind it, once; headers by lower-case names."""
        base = self.gateway.url if direct else self.edge.url
        with urllib3.PoolManager(retries=False, timeout=60) as http:
            response = http.request(method, f"{base}{path}", headers=headers, body=body, redirect=False)
            return Answer(
                response.status,
                {name.lower(): text for name, text in response.headers.items()},
                response.data,
            )

    def both(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> tuple[Answer, Answer]:
        """The gateway's answer and nginx's, without what differs between any two answers."""
        direct, through = (self.ask(method, path, headers, direct=direct) for direct in (True, False))
        return _comparable(direct), _comparable(through)

    def make_image(self, user: str, data: bytes = DATA, *, publish: bool = False) -> str:
        file = self.folder / f"{uuid.uuid4()}.img"
        file.write_bytes(data)
        image_id = upload_file(self.client(user), file, parallel=1, on_bytes=lambda _: None).image_id
        file.unlink()
        if publish:
            ended = run_cli(self.environment, "publish", image_id, "--chunk-size", str(CHUNK))
            assert ended.returncode == 0, ended.stderr
        return image_id

    def post(self, path: str, user: str, **body: Any) -> dict[str, Any]:
        """POST JSON as a user and return the answer's."""
        headers = {"X-User-Id": user, "Content-Type": "application/json"}
        answer = self.ask("POST", path, headers, body=json.dumps(body).encode())
        assert answer.status == 200, answer.body
        document: dict[str, Any] = json.loads(answer.body)
        return document

    def logs(self) -> str:
        """Everything that nginx and the gateway wrote."""
        return "".join(
            path.read_text(errors="replace")
            for path in (*self.folder.glob("**/*.log"), self.gateway.process.log)
            if path.is_file()
        )


def _comparable(answer: Answer) -> Answer:
    headers = {name: text for name, text in answer.headers.items() if name not in _OF_THE_MOMENT}
    if "vary" in headers:
        headers["vary"] = ", ".join(sorted(part.strip() for part in headers["vary"].split(",")))
    return replace(answer, headers=headers)


@contextmanager
def running_pair(environment: Mapping[str, str], folder: Path, **changes: str) -> Iterator[Pair]:
    """Start both over `folder`, with changed variables."""
    gateway_port, edge_port, internal_port = find_free_ports(3)
    place = folder / "edge"
    place.mkdir(parents=True)
    variables = {
        **environment,
        **edge_environment(place, edge_port, internal_port),
        "PORT": str(gateway_port),
        "EDGE_SLICE_BYTES": str(SLICE),
        "EDGE_WORKERS": "2",
        "EDGE_WORKER_CONNECTIONS": "4096",
        "LEASE_KEYS": LEASE_KEYS,
        "RATE_LIMITS": "false",
        **changes,
    }
    settings = load_settings(variables)
    with ExitStack() as stack:
        gateway = start_gateway({**os.environ, **variables}, port=gateway_port, log=folder / "gateway.log")
        stack.callback(gateway.process.kill)
        edge = start_edge(settings, store_address(settings), place)
        stack.callback(edge.stop)
        yield Pair(gateway, edge, variables, place)


@pytest.fixture(scope="session")
def pair(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(environment, tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def nginx() -> None:
    """Leaves the tests out, visibly, where nginx is not installed; CI may not."""
    require_nginx_or_skip()


StartPair = Callable[..., Pair]


@pytest.fixture
def start_pair(environment: dict[str, str], tmp_path: Path, store: LocalStore) -> Iterator[StartPair]:
    """Starts more pairs, with changed variables; they end with the test."""
    with ExitStack() as stack:

        def start_another(**changes: str) -> Pair:
            return stack.enter_context(running_pair(environment, tmp_path / uuid.uuid4().hex, **changes))

        yield start_another


@pytest.fixture(scope="session")
def owner() -> str:
    return f"user-{uuid.uuid4()}"


@pytest.fixture(scope="session")
def image_id(pair: Pair, owner: str) -> str:
    """A published image of several slices and chunks."""
    return pair.make_image(owner, publish=True)
