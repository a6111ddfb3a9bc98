"""The client's commands against a real gateway and a real store."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from image_gateway.client.api import ApiError, GatewayClient
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.conftest import StartGateway
from tests.live.support import COMMAND, run_cli

MIB = 1024 * 1024
PARTS = 40
WRONG = "0" * 64

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty parts of distinct bytes, the last one short."""
    path = tmp_path_factory.mktemp("disk") / "disk image.img"
    source = random.Random(11)
    with path.open("wb") as target:
        for _ in range(PARTS):
            target.write(source.randbytes(64) * (5 * MIB // 64))
        target.truncate(PARTS * 5 * MIB - 513)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.iso"
    path.write_bytes(os.urandom(6 * MIB + 1))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


@pytest.fixture
def variables(gateway: LocalGateway, tmp_path: Path) -> dict[str, str]:
    return {
        "IMAGE_GATEWAY_API": gateway.url,
        "IMAGE_GATEWAY_USER": f"user-{uuid.uuid4()}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


@pytest.fixture
def run(variables: dict[str, str], tmp_path: Path) -> Run:
    def run(*arguments: str, status: int = 0) -> CompletedProcess[str]:
        ended = run_cli(variables, *arguments, cwd=tmp_path)
        assert ended.returncode == status, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "X-Amz" not in ended.stdout + ended.stderr
        return ended

    return run


@pytest.fixture
def api(variables: dict[str, str]) -> GatewayClient:
    return GatewayClient(variables["IMAGE_GATEWAY_API"], variables["IMAGE_GATEWAY_USER"])


def begin(variables: dict[str, str], folder: Path, *arguments: str) -> ManagedProcess:
    """Start a command without waiting for its end."""
    environment = {**os.environ, **variables}
    return ManagedProcess(
        "the client", [str(COMMAND), *arguments], env=environment, log=folder / "client.log"
    )


def answer(ended: CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(ended.stdout)


def test_up_shown_and_back(run: Run, small: Path, tmp_path: Path) -> None:
    uploaded = answer(run("upload", str(small), "--name", "Klein: ä", "--kind", "iso", "--sha256", "--json"))
    assert (uploaded["sent"], uploaded["kept"], uploaded["sha256"]) == (2, 0, sha256(small))
    record = answer(run("images", "show", uploaded["imageId"], "--json"))
    assert (record["name"], record["kind"], record["state"]) == ("Klein: ä", "iso", "complete")
    fetched = answer(run("download", uploaded["imageId"], "-o", "back.iso", "--json"))
    assert (fetched["sha256"], fetched["checked"]) == (sha256(small), True)
    assert sha256(tmp_path / "back.iso") == sha256(small)
    assert list(tmp_path.glob("back.iso.*")) == []


def test_an_empty_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.img").touch()
    image_id = answer(run("upload", "empty.img", "--json"))["imageId"]
    run("download", image_id, "-o", "back.img")
    assert (tmp_path / "back.img").read_bytes() == b""


def test_listed_renamed_and_deleted(run: Run, small: Path) -> None:
    ids = {answer(run("upload", str(small), "--name", f"disk {n}", "--json"))["imageId"] for n in range(3)}
    assert {image["imageId"] for image in answer(run("images", "list", "--json"))["images"]} == ids
    assert len(answer(run("images", "list", "--limit", "2", "--json"))["images"]) == 2
    (found,) = answer(run("images", "list", "--name", "disk 1", "--state", "complete", "--json"))["images"]
    table = run("images", "list").stdout
    assert all(image_id in table for image_id in ids)
    run("images", "rename", found["imageId"], "another")
    assert "another" in run("images", "show", found["imageId"]).stdout
    run("images", "delete", found["imageId"], status=1)
    run("images", "delete", found["imageId"], "--yes")
    assert len(answer(run("images", "list", "--json"))["images"]) == 2
    run("download", found["imageId"], "-o", "gone", status=1)


@pytest.mark.thorough
def test_ctrl_c_and_on_without_memory(
    run: Run, variables: dict[str, str], api: GatewayClient, disk: Path, tmp_path: Path
) -> None:
    child = begin(variables, tmp_path, "upload", str(disk), "--parallel", "1")
    child.wait_until(lambda: len(list(tmp_path.glob("cache/*/*/*.json"))) == 1, seconds=60)
    (memory,) = tmp_path.glob("cache/*/*/*.json")
    image_id = json.loads(memory.read_text())["image_id"]
    child.wait_until(lambda: len(api.upload_status(image_id).parts) > 2, seconds=60)
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(30) == 130
    assert f"--resume {image_id}" in child.log_tail()
    run("upload", str(disk), status=1)
    memory.unlink()
    done = answer(run("upload", str(disk), "--resume", image_id, "--json"))
    assert done["kept"] > 2
    assert done["sent"] == PARTS - done["kept"]
    run("download", image_id, "-o", "back.img")
    assert sha256(tmp_path / "back.img") == sha256(disk)


@pytest.mark.thorough
def test_a_download_goes_on_after_a_kill(
    run: Run, variables: dict[str, str], disk: Path, tmp_path: Path
) -> None:
    image_id = answer(run("upload", str(disk), "--json"))["imageId"]
    child = begin(
        variables, tmp_path, "download", image_id, "-o", str(tmp_path / "back.img"), "--parallel", "1"
    )
    child.wait_until((tmp_path / "back.img.part.json").exists, seconds=60)
    child.kill()
    assert not (tmp_path / "back.img").exists()
    fetched = answer(run("download", image_id, "-o", "back.img", "--json"))
    assert fetched["kept"] > 0
    assert sha256(tmp_path / "back.img") == sha256(disk)


@pytest.mark.thorough
def test_another_version_is_never_mixed_in(
    run: Run, store: LocalStore, variables: dict[str, str], disk: Path, tmp_path: Path
) -> None:
    image_id = answer(run("upload", str(disk), "--json"))["imageId"]
    child = begin(
        variables, tmp_path, "download", image_id, "-o", str(tmp_path / "back.img"), "--parallel", "1"
    )
    child.wait_until((tmp_path / "back.img.part.json").exists, seconds=60)
    s3 = StoreClients(store.address).requests
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="images")
    (key,) = [item["Key"] for page in pages for item in page["Contents"] if image_id in item["Key"]]
    s3.put_object(Bucket="images", Key=key, Body=b"another version")
    assert child.wait(60) == 1
    assert "was changed while it was downloaded" in " ".join(child.log_tail().split())
    assert not (tmp_path / "back.img").exists()


def test_a_wrong_declared_hash_fails_the_upload(api: GatewayClient) -> None:
    upload = api.create_image(sizeBytes=4, sha256=WRONG)
    etag = api.put_part(api.sign_parts(upload, [1]).urls[1], b"data")
    with pytest.raises(ApiError, match="does not match the declared sha256") as caught:
        api.complete(upload, {1: etag})
    assert caught.value.status == 409


def test_a_wrong_hash_of_the_record_fails_the_download(
    start: StartGateway, variables: dict[str, str], tmp_path: Path
) -> None:
    unchecked = start(SHA256_CHECK_MAX_BYTES="0")
    api = GatewayClient(unchecked.url, variables["IMAGE_GATEWAY_USER"])
    upload = api.create_image(sizeBytes=4, sha256=WRONG)
    api.complete(upload, {1: api.put_part(api.sign_parts(upload, [1]).urls[1], b"data")})
    ended = run_cli(variables, "download", upload.image_id, "-o", "back", cwd=tmp_path)
    assert ended.returncode == 1
    assert f"the image's is {WRONG}" in ended.stderr
    assert not (tmp_path / "back").exists()


def test_a_gateway_that_is_away_is_a_temporary_failure(run: Run, small: Path) -> None:
    ended = run("upload", str(small), "--api", "http://127.0.0.1:9", "--patience", "1", status=75)
    assert "given up after 1 s" in ended.stderr


def test_a_refusal_says_what_the_gateway_says(run: Run) -> None:
    ended = run("images", "show", str(uuid.uuid4()), status=1)
    assert "the gateway answered 404" in ended.stderr
