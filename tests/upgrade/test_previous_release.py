"""Release 0.2.0 runs on while today's version upgrades the tables under it, as in a rolling update."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from moto.backends import get_backend

from image_gateway.catalog.database import _MIGRATIONS, open_engine, require_current, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageFormat, ImageState
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.services.sweeping import Sweeper
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.delta_api import make_delta
from tests.support.world import World, make_world

pytestmark = pytest.mark.database
WHEEL = Path(__file__).parent / "0.2.0" / "image_gateway-0.2.0-py3-none-any.whl"
REVISION = "0004"
DATA = bytes(range(256)) * 20


@dataclass(frozen=True)
class Previous:
    """A running gateway of the previous release, and today's beside it on the same catalog and bucket."""

    gateway: LocalGateway
    today: World
    before: dict[str, str]

    def send(self, method: str, path: str, *, status: int = 200, **options: Any) -> urllib3.BaseHTTPResponse:
        headers = {"X-User-Id": "alice", **options.pop("headers", {})}
        response = urllib3.request(
            method, self.gateway.url + path, headers=headers, retries=False, timeout=20, **options
        )
        assert response.status == status, (response.data, self.gateway.process.log_tail())
        return response

    def upload(self, data: bytes = DATA, **about: Any) -> str:
        """Upload an image through the previous release."""
        begun = self.send("POST", "/v1/images", json=about).json()
        path, body = f"/v1/images/{begun['imageId']}", {"uploadId": begun["uploadId"]}
        url = self.send("POST", f"{path}/upload-url", json={**body, "partNumber": 1}).json()["url"]
        assert urllib3.request("PUT", url, body=data, retries=False, timeout=20).status == 200
        self.send("POST", f"{path}/complete", json=body)
        return begun["imageId"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("previous")
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def previous(
    installed: Path,
    databases: Databases,
    checker: ContractChecker,
    moto_clients: StoreClients,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Previous]:
    for backends in get_backend("s3").values():
        for backend in backends.values():
            backend.reset()
    address = moto_clients.address
    moto_clients.requests.create_bucket(Bucket=address.bucket)
    url = databases.make_empty()
    engine = open_engine(url)
    upgrade(engine, REVISION)
    environment = {
        "S3_BUCKET": address.bucket,
        "AWS_REGION": "us-east-1",
        "S3_ENDPOINT": str(address.endpoint),
        "S3_FORCE_PATH_STYLE": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DATABASE_URL": url,
        "LEASE_KEYS": f"k1:{'0' * 64}",
        "ACCESS_CACHE_SECONDS": "0",
        "WEB_WORKERS": "1",
    }
    gateway = start_gateway(
        {**os.environ, **environment, "PYTHONPATH": str(installed)},
        port=find_free_ports(1)[0],
        log=tmp_path_factory.mktemp("log") / "gateway.log",
        cwd=installed,
    )
    try:
        today = make_world(load_settings(environment), Catalog(engine), checker, moto_clients)
        running = Previous(gateway, today, {})
        running.before["complete"] = running.upload(name="from before")
        running.before["uploading"] = running.send("POST", "/v1/images", json={}).json()["imageId"]
        lease = running.send("POST", "/v1/leases", json={"imageId": running.before["complete"]}).json()
        running.before["lease"] = lease["leaseId"]
        upgrade(engine)
        require_current(engine)
        yield running
    finally:
        gateway.process.kill()
        engine.dispose()
        databases.drop(url)


def test_released_migrations_are_never_edited(installed: Path) -> None:
    folder = installed / "image_gateway" / "catalog" / "migrations" / "versions"
    released = sorted(folder.glob("0*.py"))
    assert [file.name[:4] for file in released] == ["0001", "0002", "0003", "0004"]
    for file in released:
        assert (_MIGRATIONS / "versions" / file.name).read_bytes() == file.read_bytes()


def test_the_previous_release_reads_what_it_had_written(previous: Previous) -> None:
    path = f"/v1/images/{previous.before['complete']}"
    assert previous.send("GET", path).json()["name"] == "from before"
    listed = previous.send("GET", "/v1/images").json()["images"]
    assert {previous.before["complete"], previous.before["uploading"]} <= {item["imageId"] for item in listed}
    read = previous.send("GET", f"{path}/range", status=206, headers={"Range": "bytes=100-299"})
    assert read.data == DATA[100:300]
    previous.send("POST", f"/v1/leases/{previous.before['lease']}/renew")


def test_what_the_previous_release_writes_is_right_for_today(previous: Previous) -> None:
    image_id = previous.upload(name="written afterwards")
    path = f"/v1/images/{image_id}"
    previous.send("PATCH", path, json={"visibility": "shared"})
    previous.send("POST", f"{path}/shares", json={"user": "bob", "permission": "read"})
    link = previous.send("POST", f"{path}/share-links", json={}).json()
    lease = previous.send("POST", "/v1/leases", json={"imageId": image_id}).json()
    today, catalog = previous.today, previous.today.catalog
    record = catalog.find(image_id)
    assert record is not None
    assert (record.state, record.format, record.source) == (ImageState.COMPLETE, ImageFormat.RAW, None)
    assert today.request("GET", f"{path}/range").data == DATA
    assert today.request("GET", f"{path}/range", user="bob").data == DATA
    kept = catalog.leases.find(lease["leaseId"])
    assert kept is not None
    assert not kept.record
    assert catalog.shares.find_link(link["linkId"]) is not None
    # The lease of one is honoured by the other: both have the same LEASE_KEYS.
    assert today.bearing(lease["token"], "GET", f"{path}/range").data == DATA


def test_what_today_writes_is_read_by_the_previous_release(previous: Previous) -> None:
    image = previous.today.make_image(DATA)
    path = f"/v1/images/{image.image_id}"
    assert previous.send("GET", f"{path}/range").data == DATA
    lease = previous.today.make_lease(image)
    read = previous.send(
        "GET", f"{path}/range", headers={"X-User-Id": "", "Authorization": f"Bearer {lease['token']}"}
    )
    assert read.data == DATA
    previous.send("DELETE", path)
    assert previous.today.request("GET", path).status_code == 404


def test_the_previous_release_refuses_leases_of_deltas(previous: Previous) -> None:
    """It would give the bytes of the base for those of the delta."""
    delta = make_delta(previous.today, previous.today.make_image(DATA))
    session = delta.open_session()
    fixed = previous.today.request("POST", "/v1/leases", json={"deltaId": delta.delta_id, "generation": 0})
    for lease in (session, fixed.get_json()):
        bearer = {"X-User-Id": "", "Authorization": f"Bearer {lease['token']}"}
        previous.send("GET", f"/v1/l/{lease['token']}/disk.img", status=403, headers={"X-User-Id": ""})
        previous.send("GET", delta.image.path("range"), status=403, headers=bearer)
        previous.send("POST", f"/v1/leases/{lease['leaseId']}/renew", status=404, headers=bearer)
        assert previous.today.bearing(lease["token"], "GET", f"{delta.path}/disk.img").data == DATA
        previous.send("DELETE", f"/v1/leases/{lease['leaseId']}", headers=bearer)
        assert previous.today.bearing(lease["token"], "GET", f"{delta.path}/disk.img").status_code == 403


def test_deltas_of_an_image_that_the_previous_release_deletes_end(previous: Previous) -> None:
    today = previous.today
    delta = make_delta(today, today.make_image(DATA))
    delta.open_session()
    used = today.catalog.usage("alice").bytes - len(DATA)
    delta.write(1)
    previous.send("DELETE", delta.image.path("").rstrip("/"))
    assert delta.ask("GET", "/disk.img").status_code == 404
    report = Sweeper(today.catalog, today.store, today.settings.image_base_path, time.time).sweep()
    assert (report.ended_deltas, report.left_for_later) == (1, 0)
    assert delta.ask("GET").status_code == 404
    assert today.catalog.usage("alice").bytes == used
    record = today.catalog.find(delta.image.image_id)
    assert record is not None
    assert list(today.store.list_objects(record.location.image_prefix)) == []
