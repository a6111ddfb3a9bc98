"""The files of every view of an image, as a folder of a lease holds them; a test may spoil them."""

from __future__ import annotations

import json
import random

import zstandard

from tests.support.static_image import StaticImage

BLOCK = 65_536
WEBVM_BLOCK, PAGE, PIECE = 131_072, 4096, 102_400
SIZE = 2 * WEBVM_BLOCK + 5 * 512
DATA = random.Random(8).randbytes(WEBVM_BLOCK) + bytes(BLOCK) + random.Random(9).randbytes(BLOCK + 5 * 512)
# Below `/image/v1/` of the server.
ROOT = "l/igl~secret"
COUNT = -(-SIZE // BLOCK)
PREFETCH = [4, 0, 2]
# The URL of each view, below the root.
URLS = {
    "v86": f"v86/{BLOCK}/disk.img",
    "v86 zst": f"v86/{BLOCK}/disk.img.zst",
    "v86 any": "v86/any/.img",
    "tinyemu": "tinyemu/64/blk.txt",
    "infinite-mac": f"infinite-mac/{BLOCK}/manifest.json",
    "webvm": "webvm/disk.ext2",
    "webvm bytes": "webvm/bytes/disk.ext2",
    "sqlite": f"sqlite/{PIECE}/config.json",
    "sqlite full": "sqlite/full/config.json",
    "raw": "raw/disk.img",
}
# The second block of each view, and its last one; the disk itself where it is read by ranges.
BLOCKS = {
    "v86": (f"v86/{BLOCK}/disk-65536-131072.img", f"v86/{BLOCK}/disk-262144-327680.img"),
    "v86 zst": (f"v86/{BLOCK}/disk-65536-131072.img.zst", f"v86/{BLOCK}/disk-262144-327680.img.zst"),
    "v86 any": ("v86/any/65536-131072.img", "v86/any/262144-264704.img"),
    "tinyemu": ("tinyemu/64/blk000000001.bin", "tinyemu/64/blk000000004.bin"),
    "infinite-mac": (f"infinite-mac/{BLOCK}/1.chunk", f"infinite-mac/{BLOCK}/4.chunk"),
    "webvm": ("webvm/disk.ext2.c000001.txt", "webvm/disk.ext2.c000002.txt"),
    "sqlite": (f"sqlite/{PIECE}/db.001", f"sqlite/{PIECE}/db.002"),
}
# What lies beyond the last block.
BEYOND = {
    "v86": f"v86/{BLOCK}/disk-327680-393216.img",
    "v86 zst": f"v86/{BLOCK}/disk-327680-393216.img.zst",
    "v86 any": "v86/any/327680-393216.img",
    "tinyemu": "tinyemu/64/blk000000005.bin",
    "infinite-mac": f"infinite-mac/{BLOCK}/5.chunk",
    "webvm": "webvm/disk.ext2.c000003.txt",
    "sqlite": f"sqlite/{PIECE}/db.003",
}


def make_views() -> StaticImage:
    """All views of an image in which nothing is wrong, and its disk."""
    padded = DATA + bytes(COUNT * BLOCK - SIZE)
    blocks = [padded[start : start + BLOCK] for start in range(0, len(padded), BLOCK)]
    files = {"disk.img": DATA, "webvm/bytes/disk.ext2": DATA, "raw/disk.img": DATA}
    for index, block in enumerate(blocks):
        start, end = index * BLOCK, (index + 1) * BLOCK
        files[f"v86/{BLOCK}/disk-{start}-{end}.img"] = block
        files[f"v86/{BLOCK}/disk-{start}-{end}.img.zst"] = compress(block)
        files[f"v86/any/{start}-{min(end, SIZE)}.img"] = DATA[start:end]
        files[f"tinyemu/64/blk{index:09d}.bin"] = block
        # The third one is zeros and is never asked for.
        if index != 2:
            files[f"infinite-mac/{BLOCK}/{index:x}.chunk"] = DATA[start:end]
    files["tinyemu/64/grp000000000.bin"] = blocks[4] + blocks[0]
    for index in range(3):
        start = index * WEBVM_BLOCK
        files[f"webvm/disk.ext2.c{index:06x}.txt"] = DATA[start : start + WEBVM_BLOCK]
        files[f"sqlite/{PIECE}/db.{index:03d}"] = DATA[index * PIECE :]
    image = StaticImage({f"{ROOT}/{name}": data for name, data in files.items()})
    for name in ("disk.img", "webvm/bytes/disk.ext2", "raw/disk.img"):
        image.set_header(f"{ROOT}/{name}", "ETag", '"1"')
        image.set_header(f"{ROOT}/{name}", "Accept-Ranges", "bytes")
    put(image, "webvm/disk.ext2.meta", str(SIZE).encode())
    for name in ("tinyemu", "infinite-mac", "sqlite", "sqlite full"):
        change_document(image, name)
    return image


def put(image: StaticImage, name: str, data: bytes) -> None:
    image.files[f"{ROOT}/{name}"] = data


def compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def change_document(image: StaticImage, view: str, **changes: object) -> None:
    """Write the document of a view, as it should be apart from `changes`."""
    chunked = {
        "serverMode": "chunked",
        "requestChunkSize": PAGE,
        "databaseLengthBytes": SIZE,
        "serverChunkSize": PIECE,
        "urlPrefix": f"../{PIECE}/db.",
        "suffixLength": 3,
    }
    documents: dict[str, dict[str, object]] = {
        "tinyemu": {"block_size": 64, "n_block": COUNT, "prefetch": PREFETCH, "prefetch_group_len": 2},
        "infinite-mac": {
            "name": "disk",
            "totalSize": SIZE,
            "chunkSize": BLOCK,
            "chunks": [f"{index:x}" if index != 2 else "" for index in range(COUNT)],
            "prefetchChunks": [1, 0],
        },
        "sqlite": chunked,
        "sqlite full": {
            "serverMode": "full",
            "requestChunkSize": PAGE,
            "url": "../../raw/disk.img",
        },
    }
    put(image, URLS[view], json.dumps({**documents[view], **changes}).encode())
