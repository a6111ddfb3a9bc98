"""`image-gateway demo`: uploads an image, reads it back and compares every byte."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from image_gateway.cli.progress import byte_bar, human_size
from image_gateway.cli.publish import publish_with_bar
from image_gateway.cli.remote import one_line
from image_gateway.client.api import GatewayClient
from image_gateway.client.download import hash_by_chunks, hash_by_ranges
from image_gateway.client.upload import upload_file
from image_gateway.components import open_catalog
from image_gateway.local.stack import Stack, running_stack
from image_gateway.protocol.manifest import SECTOR
from image_gateway.services.publishing import Publishing
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore

USER = "demo"
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
PARALLEL = 4
RANGE_STEP = 4 * 1024 * 1024
RANDOM_RANGES = 64
BLOCK = 1024 * 1024
MANUAL_STEPS = r"""
The same by hand, with `make run` in another terminal (README.md explains each step):
  API=http://127.0.0.1:3000
  field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
  post() { curl -sS -X POST "$API$1" -H 'X-User-Id: me' -H 'Content-Type: application/json' -d "$2"; }
  NEW=$(post /v1/images '{}'); IMAGE=$(echo "$NEW" | field imageId); UPLOAD=$(echo "$NEW" | field uploadId)
  URL=$(post "/v1/images/$IMAGE/upload-url" "{\"uploadId\":\"$UPLOAD\",\"partNumber\":1}" | field url)
  ETAG=$(curl -sS -D - -o answer -T disk.img "$URL" | tr -d '\r"' | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
  PARTS="[{\"partNumber\":1,\"etag\":\"$ETAG\"}]"
  post "/v1/images/$IMAGE/complete" "{\"uploadId\":\"$UPLOAD\",\"parts\":$PARTS}"
  curl -sS "$API/v1/images/$IMAGE/range" -H 'X-User-Id: me' | sha256sum
  curl -sS "$API/v1/images/$IMAGE/range" -H 'X-User-Id: me' -H 'Range: bytes=0-15' | od -c

In a browser: `make run`, then open the console at http://127.0.0.1:3000/"""


@dataclass(frozen=True)
class Check:
    """Result of one comparison."""

    name: str
    equal: bool
    seconds: float


@click.command(epilog="Example: image-gateway demo --file ubuntu.img")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Disk image to upload.",
)
@click.option(
    "--size-mib",
    type=click.IntRange(1, 1024 * 1024),
    default=256,
    show_default=True,
    help="Size of the generated sample image without --file.",
)
def demo(file: Path | None, size_mib: int) -> None:
    """Upload an image, read it back by ranges and by chunks, and compare SHA-256 each time.

    Starts an embedded store and a gateway with two workers in a temporary directory and uses only the public
    HTTP API. Stops all processes at the end. The exit status is 1 if any byte differs.
    """
    with tempfile.TemporaryDirectory(prefix="image-gateway-demo-") as scratch:
        folder = Path(scratch)
        image = file or make_sample(folder / "sample.img", size_mib * 1024 * 1024)
        # The demo must not use the store or database configured in the environment or in .env.
        clean = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        with running_stack(
            folder, clean, gateway_port=None, on_step=lambda _: None, say=click.echo, cwd=folder
        ) as stack:
            click.echo(f"gateway: {stack.gateway.url} ({stack.settings.web_workers} workers)")
            expected = hash_file(image)
            checks = run_checks(stack, image, expected)
        print_summary(image, expected, checks)
    if not all(check.equal for check in checks):
        sys.exit(1)


def make_sample(path: Path, size: int) -> Path:
    """Write a sample image of `size` bytes: random blocks, every fourth one zero."""
    source = random.Random(size)  # noqa: S311  # sample data, not a secret
    with path.open("wb") as target, byte_bar("creating a sample image", size) as advance:
        for number in range(0, size, BLOCK):
            target.write(bytes(BLOCK) if number // BLOCK % 4 == 3 else source.randbytes(BLOCK))
            advance(BLOCK)
    return path


def run_checks(stack: Stack, image: Path, expected: str) -> list[Check]:
    """Upload the image, read it back in every way and return the comparisons.

    Args:
        expected: SHA-256 of the image in hexadecimal.
    """
    client = GatewayClient(stack.gateway.url, USER)
    size = image.stat().st_size
    with byte_bar("uploading parts", size) as advance:
        image_id = upload_file(client, image, parallel=PARALLEL, on_bytes=advance).image_id
    checks = [
        _check("HEAD size", lambda: client.head_range(image_id)["Content-Length"] == str(size)),
        _check(f"{RANDOM_RANGES} random ranges", lambda: _random_ranges_equal(client, image_id, image, size)),
        _check("whole image by ranges", lambda: _by_ranges(client, image_id, size) == expected),
    ]
    if size % SECTOR:
        click.echo(f"not published as chunks: {size} bytes is not a multiple of {SECTOR}")
    else:
        _publish(stack, image_id)
        checks.append(_check("whole image by chunks", lambda: _by_chunks(client, image_id, size) == expected))
    return checks


def hash_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _check(name: str, compare: Callable[[], bool]) -> Check:
    began = time.monotonic()
    return Check(name, compare(), time.monotonic() - began)


def _random_ranges_equal(client: GatewayClient, image_id: str, image: Path, size: int) -> bool:
    source = random.Random(1)  # noqa: S311  # the ranges are not a secret
    with image.open("rb") as file:
        for _ in range(RANDOM_RANGES):
            start = source.randrange(size)
            stop = min(size, start + source.randint(1, BLOCK))
            file.seek(start)
            if client.read_range(image_id, start, stop) != file.read(stop - start):
                return False
    return True


def _by_ranges(client: GatewayClient, image_id: str, size: int) -> str:
    with byte_bar("reading by ranges", size) as advance:
        return hash_by_ranges(client, image_id, size, step=RANGE_STEP, parallel=PARALLEL, on_bytes=advance)


def _by_chunks(client: GatewayClient, image_id: str, size: int) -> str:
    with byte_bar("reading by chunks", size) as advance:
        return hash_by_chunks(client, image_id, parallel=PARALLEL, on_bytes=advance)


def _publish(stack: Stack, image_id: str) -> None:
    store = ObjectStore(StoreClients(stack.store))
    publish_with_bar(Publishing(open_catalog(stack.settings), store, stack.settings.cache_control), image_id)


def print_summary(image: Path, sha256: str, checks: list[Check]) -> None:
    """Print the comparisons, and how to repeat them by hand."""
    click.echo(f"\n{one_line(image.name)}, {human_size(image.stat().st_size)}, sha256 {sha256}")
    for check in checks:
        click.echo(f"  {'equal ' if check.equal else 'DIFFER'}  {check.name} ({check.seconds:.1f} s)")
    click.echo(MANUAL_STEPS)
