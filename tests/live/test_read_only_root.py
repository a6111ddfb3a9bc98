"""The gateway with a root file system that it cannot write, as in a pod."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import START_SECONDS
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from tests.live.support import COMMAND, ROOT
from tests.support.job_client import converted, upload, wait_for_jobs
from tests.support.programs import require_qemu

pytestmark = pytest.mark.thorough
DATA = os.urandom(1024) * 3000
# A mount namespace of the process's own, in which /tmp is new and writable, as a pod's is. /srv is the folder
# of the catalog, which pods have in PostgreSQL. The repository may lie below /tmp: it is put back.
SCRIPT = """
set -eu
mount --make-rprivate /
mount --bind "$1" /srv
mount --bind "$2" /mnt
mount -t tmpfs tmpfs /tmp
[ -e "$2" ] || { mkdir -p "$2" && mount --bind /mnt "$2"; }
awk '{ print $5 }' /proc/self/mountinfo | while read -r mounted; do
    case $mounted in
        /srv | /tmp) ;;
        *) [ ! -e "$mounted" ] || mount -o remount,bind,ro "$mounted" ;;
    esac
done
if touch /written "$HOME/written" /dev/shm/written 2>/dev/null; then
    echo "the root is writable" >&2
    exit 1
fi
cd /
shift 2
exec "$@"
"""


@dataclass(frozen=True)
class ReadOnlyGateway:
    """A gateway in such a namespace."""

    process: ManagedProcess
    url: str
    metrics_url: str
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `image-gateway` in the namespace of the gateway."""
        command = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", COMMAND, *arguments]
        return subprocess.run(
            command, env=self.environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def gateway(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReadOnlyGateway]:
    require_mount_namespaces()
    folder = tmp_path_factory.mktemp("catalog")
    engine = open_engine(f"sqlite:///{folder}/catalog.db")
    upgrade(engine)
    engine.dispose()
    port, metrics_port = find_free_ports(2)
    variables = {
        **os.environ,
        **environment,
        "DATABASE_URL": "sqlite:////srv/catalog.db",
        "RANGE_CACHE_DIR": "/tmp/cache",
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
    }
    variables.pop("TMPDIR", None)
    command = ["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(folder), str(ROOT), str(COMMAND), "serve"]
    process = ManagedProcess("the gateway", command, env=variables, log=folder / "gateway.log")
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: "listens on" in process.log.read_text(), seconds=START_SECONDS)
        yield ReadOnlyGateway(process, url, f"http://127.0.0.1:{metrics_port}/metrics", variables)
    finally:
        process.kill()


def require_mount_namespaces() -> None:
    """Skip the test where this user may not make a mount namespace; fail in CI."""
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, timeout=30, check=False)
    if tried.returncode:
        if os.environ.get("CI"):
            raise AssertionError(tried.stderr)
        pytest.skip(f"a read-only root for one process needs root: {tried.stderr.strip()}")


def test_the_gateway_writes_nowhere_but_in_tmp_and_its_cache(
    gateway: ReadOnlyGateway, tmp_path: Path
) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(DATA)
    client = GatewayClient(gateway.url, "me")
    image_id = upload_file(client, file, parallel=1, on_bytes=lambda _: None).image_id
    for _ in range(2):
        assert client.read_range(image_id, 1000, 2_000_000) == DATA[1000:2_000_000]
    # The process of the metrics starts after the workers.
    with urllib3.PoolManager(retries=urllib3.Retry(connect=8, backoff_factor=0.1), timeout=20) as http:
        page = http.request("GET", gateway.metrics_url).data.decode()
    [hits] = re.findall(r"^image_gateway_cache_hits_total ([0-9.]+)$", page, re.MULTILINE)
    assert float(hits) > 0
    client.delete_image(image_id)
    swept = gateway.run("sweep", "--cache-only", "--json")
    assert (swept.returncode, '"uncached_images": 1' in swept.stdout) == (0, True), swept.stderr
    assert "Read-only file system" not in gateway.process.log.read_text()


def test_the_worker_converts_with_nothing_writable_but_tmp(gateway: ReadOnlyGateway, tmp_path: Path) -> None:
    require_qemu()
    raw = tmp_path / "disk.raw"
    raw.write_bytes(DATA)
    client = GatewayClient(gateway.url, "me")
    image_id = upload(client, converted(raw, "qcow2", "", tmp_path), "qcow2").image_id
    worked = gateway.run("worker", "--once")
    assert worked.returncode == 0, worked.stderr
    assert wait_for_jobs(client, image_id)["state"] == "done"
    assert client.read_range(image_id, 0, len(DATA)) == DATA
