"""complete, killed at each of its steps, and at the size of real uploads."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.conftest import StartGateway
from tests.live.support import keys_in, run_cli, unknown_to_the_catalog
from tests.support.proxy import watching_proxy

MIB = 1024 * 1024


class Api:
    """The gateway's API with nothing in between."""

    def __init__(self, gateway: LocalGateway, user: str) -> None:
        self._url, self._user = gateway.url, user

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"X-User-Id": self._user, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib3.PoolManager(retries=False, timeout=120) as http:
            answer = http.request(method, f"{self._url}/v1{path}", body=data, headers=headers)
        return answer.status, json.loads(answer.data)


def begin(api: Api, **body: Any) -> dict[str, Any]:
    status, plan = api("POST", "/images", body)
    assert status == 200, plan
    return plan


def send(api: Api, plan: dict[str, Any], parts: dict[int, bytes]) -> dict[int, int]:
    """PUT parts by URLs that are asked for together; returns each one's status."""
    body = {"uploadId": plan["uploadId"], "partNumbers": sorted(parts)}
    status, signed = api("POST", f"/images/{plan['imageId']}/upload-urls", body)
    assert status == 200, signed
    with urllib3.PoolManager(retries=False) as http:
        return {
            item["partNumber"]: http.request("PUT", item["url"], body=parts[item["partNumber"]]).status
            for item in signed["urls"]
        }


def complete(api: Api, plan: dict[str, Any]) -> tuple[int, Any]:
    return api("POST", f"/images/{plan['imageId']}/complete", {"uploadId": plan["uploadId"]})


@pytest.mark.database
@pytest.mark.thorough
@pytest.mark.parametrize("moment", ["before the store", "after the store", "after the record"])
def test_a_gateway_killed_while_completing(
    start: StartGateway, store: LocalStore, environment: dict[str, str], database_url: str, moment: str
) -> None:
    before = keys_in(store.address)
    killed = threading.Event()
    victim: list[LocalGateway] = []

    def kill() -> None:
        os.killpg(victim[0].process.pid, signal.SIGKILL)
        killed.set()

    def watch(name: str, block: bytes, notes: dict[str, bool]) -> None:
        if name == "request" and block.startswith(b"POST ") and b"uploadId=" in block.split(b"\r\n")[0]:
            notes["completing"] = True
            if moment == "before the store":
                kill()
        elif name == "answer" and notes.get("completing") and moment == "after the store":
            kill()

    address = urlsplit(store.address.endpoint or "")
    user = f"user-{uuid.uuid4()}"
    with watching_proxy((address.hostname or "", address.port or 0), watch) as port:
        victim.append(start(S3_ENDPOINT=f"http://127.0.0.1:{port}"))
        api = Api(victim[0], user)
        plan = begin(api, sizeBytes=6 * MIB)
        assert set(send(api, plan, {1: b"a" * 5 * MIB, 2: b"b" * MIB}).values()) == {200}
        if moment == "after the record":
            status, first = complete(api, plan)
            assert status == 200
            kill()
        else:
            with pytest.raises(urllib3.exceptions.HTTPError):
                complete(api, plan)
            first = None
        assert killed.wait(10)
    engine = open_engine(database_url)
    record = Catalog(engine).find(plan["imageId"])
    engine.dispose()
    assert record is not None
    assert (record.state is ImageState.COMPLETE) == (moment == "after the record")

    revived = Api(start(), user)
    answers = [complete(revived, plan) for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0] == answers[1]
    assert answers[0][1]["size"] == 6 * MIB
    assert first in (None, answers[0][1])
    assert unknown_to_the_catalog(environment, store.address, database_url, before=before) == []


@pytest.mark.thorough
def test_more_parts_than_the_store_lists_at_once(gateway: LocalGateway) -> None:
    api = Api(gateway, f"user-{uuid.uuid4()}")
    plan = begin(api)
    # S3 lists a thousand at once.
    part, last = bytes(5 * MIB), 1001
    for first in range(1, last + 1, 600):
        numbers = range(first, min(first + 600, last + 1))
        sizes = {number: part if number < last else b"end" for number in numbers}
        assert set(send(api, plan, sizes).values()) == {200}
    status, upload = api("GET", f"/images/{plan['imageId']}/upload")
    assert status == 200
    assert [item["partNumber"] for item in upload["parts"]] == list(range(1, last + 1))
    status, completed = complete(api, plan)
    assert (status, completed.get("size")) == (200, (last - 1) * 5 * MIB + 3)
    assert api("DELETE", f"/images/{plan['imageId']}")[0] == 200


def test_the_store_refuses_a_part_of_another_length(gateway: LocalGateway) -> None:
    api = Api(gateway, f"user-{uuid.uuid4()}")
    plan = begin(api, sizeBytes=5 * MIB + 10)
    assert send(api, plan, {2: b"x" * 11}) == {2: 403}
    assert send(api, plan, {2: b"x" * 9}) == {2: 403}
    assert send(api, plan, {2: b"x" * 10}) == {2: 200}
    status, refused = complete(api, plan)
    assert (status, refused["error"]["message"]) == (409, "not uploaded: part 1")


@pytest.mark.database
def test_after_the_sweeper_the_bucket_holds_only_what_a_record_knows(
    store: LocalStore, environment: dict[str, str], own_database: str
) -> None:
    name = f"sweep-{uuid.uuid4()}"
    changed = {**environment, "S3_BUCKET": name, "DATABASE_URL": own_database}
    assert run_cli(changed, "bucket", "init").returncode == 0
    s3 = StoreClients(store.address).requests
    key = f"images/{'0' * 40}/00000000-0000-4000-8000-000000000000/{'0' * 16}/disk.img"
    s3.create_multipart_upload(Bucket=name, Key=key)
    young = run_cli(changed, "sweep", "--json")
    assert json.loads(young.stdout)["orphaned_uploads"] == 0, young.stderr
    shown = run_cli(changed, "sweep", "--older-than", "0s", "--dry-run")
    assert "would be aborted: 1 uploads without a record" in shown.stdout
    swept = run_cli(changed, "sweep", "--older-than", "0s", "--json")
    assert json.loads(swept.stdout)["orphaned_uploads"] == 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)
    wrong = run_cli(changed, "sweep", "--older-than", "soon")
    assert wrong.returncode == 2
    assert "is not a duration" in wrong.stderr
