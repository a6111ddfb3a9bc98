"""The processes that the tests of the console run against."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.worker import start_worker
from tests.support.chromium import PACKAGES
from tests.support.oidc_code_flow import CodeFlow
from tests.support.oidc_provider import OidcProvider

# Of the tries to stop the worker between two writes, and of each wait for SQLite's lock.
STOPS = 50
LOCK_SECONDS = 0.5
CLIENT_SECRET = "the secret of the console"
# By the names that the gateway gives them.
V86_FILES = {
    "libv86.js": PACKAGES / "v86/build/libv86.js",
    "v86.wasm": PACKAGES / "v86/build/v86.wasm",
    "seabios.bin": Path("/usr/share/seabios/bios.bin"),
    "vgabios.bin": Path("/usr/share/seabios/vgabios-stdvga.bin"),
}


@dataclass(frozen=True)
class Console:
    """A gateway with two processes of gunicorn that signs in by name, and a worker."""

    gateway: LocalGateway
    worker: ManagedProcess
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def logs(self) -> list[Path]:
        return [self.gateway.process.log, self.worker.log]


@dataclass(frozen=True)
class OidcConsole:
    """A gateway that signs in at `provider`, in the way that `flow` says; the provider is of another site."""

    url: str
    log: Path
    provider: OidcProvider
    flow: CodeFlow


def console_settings(folder: Path) -> dict[str, str]:
    """The settings of the tests' gateways; v86's files are linked into `folder`, as far as they are there."""
    for name, file in V86_FILES.items():
        if file.exists():
            (folder / name).symlink_to(file)
    return {
        "EMULATOR_V86_PATH": str(folder),
        "IMPORT_ALLOW_HTTP": "true",
        "IMPORT_ALLOW_PRIVATE": "true",
        "LEASE_KEYS": f"k1:{'x' * 40}",
        "MULTIPART_PART_SIZE_BYTES": str(5 * 1024 * 1024),
        # All tests come from one address.
        "RATE_LIMITS": "false",
        "WEB_THREADS": "8",
        "WEB_WORKERS": "2",
    }


@contextmanager
def running_gateway(environment: Mapping[str, str], folder: Path, **settings: str) -> Iterator[LocalGateway]:
    """Run a gateway with some other settings, on a free port; its log is in the folder."""
    variables = {**environment, **settings}
    gateway = start_gateway(variables, port=find_free_ports(1)[0], log=folder / "gateway.log")
    try:
        yield gateway
    finally:
        gateway.process.kill()


@contextmanager
def running_console(environment: Mapping[str, str], folder: Path) -> Iterator[Console]:
    """Run a gateway and a worker, with their logs in the folder."""
    with running_gateway(environment, folder) as gateway:
        worker = start_worker(environment, log=folder / "worker.log")
        try:
            yield Console(gateway, worker, environment)
        finally:
            worker.kill()


@contextmanager
def stopped_worker(console: Console) -> Iterator[None]:
    """Let the worker do nothing meanwhile; it is stopped between two writes, so that others can write."""
    pid = console.worker.pid
    for _ in range(STOPS):
        os.kill(pid, signal.SIGSTOP)
        if _can_write(console.environment["DATABASE_URL"]):
            break
        os.kill(pid, signal.SIGCONT)
    else:
        raise AssertionError(f"the worker held the catalog's write lock {STOPS} times")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _can_write(database_url: str) -> bool:
    file = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=LOCK_SECONDS)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.rollback()
        return True


@contextmanager
def running_oidc_console(environment: Mapping[str, str], folder: Path) -> Iterator[OidcConsole]:
    """Run an issuer, and a gateway that is a confidential client of it."""
    with OidcProvider.start(host="localhost") as provider:
        flow = new_flow(provider)
        with running_gateway(environment, folder, **flow.environment()) as gateway:
            yield OidcConsole(gateway.url, gateway.process.log, provider, flow)


def new_flow(provider: OidcProvider) -> CodeFlow:
    """Replace the code flow of the issuer by one in which nothing is wrong."""
    provider.answers.clear()
    return CodeFlow(provider, client_secret=CLIENT_SECRET)
