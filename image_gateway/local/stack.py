"""Runs the whole service locally: embedded store, database migration, bucket, gateway, worker, nginx."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.components import store_address
from image_gateway.local.edge import LocalEdge, edge_environment, start_edge
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import DEFAULT_PORT, start_local_store
from image_gateway.local.worker import start_worker
from image_gateway.settings import Settings, load_settings
from image_gateway.storage.bucket import BucketSetup, Step
from image_gateway.storage.client import StoreAddress, StoreClients

DEFAULT_BUCKET = "images"
DEFAULT_GATEWAY_PORT = 3000
STORE_VARIABLES = (
    "S3_BUCKET",
    "S3_ENDPOINT",
    "S3_FORCE_PATH_STYLE",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)


@dataclass(frozen=True)
class Stack:
    """A running gateway with its settings, its store and optionally nginx."""

    gateway: LocalGateway
    settings: Settings
    store: StoreAddress
    edge: LocalEdge | None = None

    @property
    def url(self) -> str:
        """Return the URL for clients: that of nginx if it runs, else the gateway's."""
        return self.edge.url if self.edge else self.gateway.url


@contextmanager
def running_stack(
    folder: Path,
    environ: Mapping[str, str],
    *,
    gateway_port: int | None,
    on_step: Callable[[Step], object],
    say: Callable[[str], None],
    cwd: Path | None = None,
    with_edge: bool = False,
    with_worker: bool = True,
) -> Iterator[Stack]:
    """Context manager that starts all processes and stops them on exit.

    Args:
        folder: Directory for data and logs.
        environ: Settings that override the defaults; the embedded store starts unless S3_ENDPOINT is set.
        gateway_port: Port for clients; None picks a free one.
        on_step: Called with each step of the bucket setup.
        say: Called with progress messages.
        cwd: Working directory of the gateway.
        with_edge: Run nginx on the port for clients, and the gateway on another one.
        with_worker: Run a worker for background jobs.
    """
    with ExitStack() as stack:
        environment = {**_defaults(folder), **{name: value for name, value in environ.items() if value}}
        credentials: tuple[str, str] | None = None
        if "S3_ENDPOINT" not in environment:
            say("starting the embedded store")
            store = start_local_store(folder / "store", bucket=environment["S3_BUCKET"], port=DEFAULT_PORT)
            stack.callback(store.stop)
            environment |= store.environment
            credentials = store.address.credentials
            say(f"store: {store.address.endpoint}, data in {folder / 'store'}")
        port = gateway_port or find_free_ports(1)[0]
        front_port = port
        if with_edge:
            port, internal_port = find_free_ports(2)
            environment |= edge_environment(folder / "edge", front_port, internal_port)
        settings = load_settings({**environment, "PORT": str(port)})
        address = replace(store_address(settings), credentials=credentials)
        upgrade(open_engine(settings.database_url))
        for step in BucketSetup(StoreClients(address), settings.cors_allow_origin).run():
            on_step(step)
        write_env_file(folder / "env", environment)
        gateway = start_gateway(environment, port=port, log=folder / "gateway.log", cwd=cwd)
        stack.callback(gateway.stop)
        if with_worker:
            worker = start_worker(environment, log=folder / "worker.log", cwd=cwd)
            stack.callback(worker.stop, grace=10)
        edge = start_edge(settings, address, folder / "edge") if with_edge else None
        if edge is not None:
            stack.callback(edge.stop)
        yield Stack(gateway, settings, address, edge)


def write_env_file(path: Path, environment: Mapping[str, str]) -> None:
    """Write a shell script that exports the store and database settings for other commands."""
    names = [*STORE_VARIABLES, "DATABASE_URL"]
    lines = [f"export {name}={shlex.quote(environment[name])}\n" for name in names if name in environment]
    path.touch(mode=0o600)
    path.write_text("".join(lines))


def _defaults(folder: Path) -> dict[str, str]:
    return {
        "S3_BUCKET": DEFAULT_BUCKET,
        "AWS_REGION": "us-east-1",
        "DATABASE_URL": f"sqlite:///{folder.resolve()}/catalog.db",
        "LOG_FORMAT": "text",
    }
