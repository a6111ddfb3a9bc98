"""Duration of conversion and publishing jobs, beside a plain copy of the same bytes in the same store.

Run `python bench/jobs.py [--size-mib 1024] [--rounds 3]`. Starts the local store and a catalog, and runs a
worker's jobs in this process: the conversion of a qcow2 disk of which a quarter is data, and publishing it
as chunks. The copy reads the finished disk by ranges and writes it as another object by a multipart upload,
part by part. `qemu-img convert` writes the raw disk to a local file. Ratios are medians of those of each
round; 1 is as fast as the copy, 2 takes twice as long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from convert import make_disk

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.client.api import GatewayClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploading
from image_gateway.components import open_store
from image_gateway.local.gateway import start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import start_local_store
from image_gateway.protocol.parts import ClaimedPart
from image_gateway.protocol.ranges import ByteRange
from image_gateway.settings import load_settings
from image_gateway.storage.objects import ObjectStore
from image_gateway.worker import make_worker

MIB = 1024 * 1024
PART = 16 * MIB


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as name:
        rounds = run(Path(name), arguments.size_mib * MIB, arguments.rounds)
    names = ["conversion", "publishing", "copy", "qemu-img to a file"]
    medians = {name: statistics.median(each[name] for each in rounds) for name in names}
    ratios = {name: statistics.median(each[name] / each["copy"] for each in rounds) for name in names}
    print(f"{'':<22}{'seconds':>9}{'ratio to the copy':>20}")
    for name in names:
        print(f"{name:<22}{medians[name]:>9.2f}{ratios[name]:>20.2f}")
    print(json.dumps({"seconds": medians, "ratios": ratios}))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def run(folder: Path, size: int, rounds: int) -> list[dict[str, float]]:
    raw, qcow2 = folder / "disk.raw", folder / "disk.qcow2"
    make_disk(raw, size)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(qcow2)], check=True)
    local = start_local_store(folder / "store", bucket="bench-images")
    environment = {**os.environ, **local.environment, "DATABASE_URL": f"sqlite:///{folder}/catalog.db"}
    upgrade(open_engine(environment["DATABASE_URL"]))
    (port,) = find_free_ports(1)
    gateway = start_gateway(environment, port=port, log=folder / "gateway.log", cwd=folder)
    os.environ.update(environment)
    settings = load_settings(environment)
    worker, store = make_worker(settings), open_store(settings)
    try:
        return [one_round(folder, qcow2, gateway.url, worker.run_one, store) for _ in range(rounds)]
    finally:
        gateway.stop(2)
        local.stop()


def one_round(
    folder: Path, qcow2: Path, url: str, run_job: Callable[[], bool], store: ObjectStore
) -> dict[str, float]:
    client = GatewayClient(url, "bench")
    uploaded = Uploading(client, qcow2, retrier=Retrier(60), parallel=2).begin(image_format="qcow2")
    conversion = timed(run_job)
    client.send_json("POST", f"/v1/images/{uploaded.image_id}/publish", expected=(202,))
    publishing = timed(run_job)
    record = client.image(uploaded.image_id)
    if (record["state"], record["chunked"]) != ("complete", True):
        raise SystemExit(f"the jobs failed: {record}")
    key = next(
        item.key
        for item in store.list_objects("")
        if uploaded.image_id in item.key and item.key.endswith("disk.img")
    )
    copy = timed(lambda: copy_object(store, key, record["size"]))
    raw = folder / "converted.raw"
    local = timed(
        lambda: subprocess.run(["qemu-img", "convert", "-O", "raw", str(qcow2), str(raw)], check=True)
    )
    client.delete_image(uploaded.image_id)
    return {"conversion": conversion, "publishing": publishing, "copy": copy, "qemu-img to a file": local}


def copy_object(store: ObjectStore, key: str, size: int) -> None:
    """Read an object by ranges and write another one, one part after the other."""
    target = "copy-of-the-disk"
    upload_id = store.create_upload(target, cache_control="no-store")
    for number, start in enumerate(range(0, size, PART), 1):
        span = ByteRange(start, min(size, start + PART))
        store.upload_part(target, upload_id, number, store.open(key, byte_range=span).body.read_all())
    parts = store.list_parts(target, upload_id)
    store.complete_upload(target, upload_id, [ClaimedPart(part.number, part.etag) for part in parts])
    store.delete(target)


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
