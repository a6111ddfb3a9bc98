"""A plugin for nbdkit's Python plugin, over the same disk as the server that `bench/nbd.py` compares."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["BENCH_FOLDER"])))

import nbdkit  # type: ignore[import-not-found]  # made by nbdkit itself
from nbd_backend import BLOCK, BlockDisk

API_VERSION = 2
_disk = BlockDisk()


def thread_model() -> int:
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def open(readonly: bool) -> BlockDisk:  # nbdkit's name
    return _disk


def get_size(disk: BlockDisk) -> int:
    return disk.size


def block_size(disk: BlockDisk) -> tuple[int, int, int]:
    return 1, BLOCK, 32 * 1024 * 1024


def can_multi_conn(disk: BlockDisk) -> bool:
    return True


def can_fua(disk: BlockDisk) -> int:
    return int(nbdkit.FUA_NATIVE)


def pread(disk: BlockDisk, buffer: bytearray, offset: int, flags: int) -> None:
    buffer[:] = disk.read(offset, len(buffer))


def pwrite(disk: BlockDisk, buffer: bytes, offset: int, flags: int) -> None:
    disk.write(offset, buffer)
    _after(disk, flags)


def zero(disk: BlockDisk, count: int, offset: int, flags: int) -> None:
    disk.zero(offset, count)
    _after(disk, flags)


def trim(disk: BlockDisk, count: int, offset: int, flags: int) -> None:
    zero(disk, count, offset, flags)


def flush(disk: BlockDisk, flags: int) -> None:
    disk.flush()


def _after(disk: BlockDisk, flags: int) -> None:
    if flags & nbdkit.FLAG_FUA:
        disk.flush()
