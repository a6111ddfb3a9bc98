"""Speed of reading disks out of image formats, beside `qemu-img convert` of the same files.

Run `python bench/convert.py [--size-mib 1024] [--latency-ms 0] [--rounds 3]`. Makes one disk, a quarter
of it data, as each format, and reads it whole by `open_disk` from a local file: extents, and the bytes of
those that are not zeros. `qemu-img convert` writes to QEMU's null device. A ratio of 1 is as fast as
qemu-img; latency is added to every read of the object, as a store does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from image_gateway.conversion.disk_reader import open_disk
from image_gateway.protocol.formats import DiskFormat

MIB = 1024 * 1024
READ_BYTES = 16 * MIB
FORMATS = {
    "qcow2": (DiskFormat.QCOW2, "qcow2", []),
    "qcow2, zlib": (DiskFormat.QCOW2, "qcow2", ["-c"]),
    "qcow2, zstd": (DiskFormat.QCOW2, "qcow2", ["-c", "-o", "compression_type=zstd"]),
    "VHD, dynamic": (DiskFormat.VHD, "vpc", []),
    "VHDX": (DiskFormat.VHDX, "vhdx", []),
    "VMDK": (DiskFormat.VMDK, "vmdk", []),
    "VMDK, streamOptimized": (DiskFormat.VMDK, "vmdk", ["-o", "subformat=streamOptimized"]),
    "VDI": (DiskFormat.VDI, "vdi", []),
}


class FileObject:
    """A local file in the place of a stored object."""

    def __init__(self, path: Path, latency: float) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._latency = latency
        self.size = path.stat().st_size
        self.reads = 0

    def read(self, start: int, end: int) -> bytes:
        self.reads += 1
        time.sleep(self._latency)
        return os.pread(self._file, end - start, start)

    def close(self) -> None:
        os.close(self._file)


def make_disk(path: Path, size: int) -> None:
    """Write runs of 8 MiB of half random, half repetitive data, with three times as long holes."""
    source = random.Random(1)
    with path.open("wb") as disk:
        disk.truncate(size)
        for start in range(0, size, 32 * MIB):
            disk.seek(start)
            for _ in range(8):
                disk.write(source.randbytes(MIB // 2) + b"text of a file. " * (MIB // 32))


def read_disk(path: Path, kind: DiskFormat, latency: float) -> tuple[float, int, int, int]:
    """Return seconds, bytes of data, bytes of the object that were read, and reads of it."""
    source = FileObject(path, latency)
    began, data = time.perf_counter(), 0
    with open_disk(source, kind) as reader:
        for extent in reader.extents(0, reader.size):
            if not extent.is_zero:
                for start in range(extent.start, extent.end, READ_BYTES):
                    data += len(reader.read(start, min(start + READ_BYTES, extent.end)))
        stored = reader.stored_bytes_read
    seconds = time.perf_counter() - began
    source.close()
    return seconds, data, stored, source.reads


def convert(path: Path, driver: str, size: int) -> float:
    """Return the seconds that qemu-img takes."""
    target = f"driver=null-co,size={size}"
    command = ["qemu-img", "convert", "-f", driver, "-n", "--target-image-opts", path, target]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        disk = Path(scratch, "disk.raw")
        make_disk(disk, options.size_mib * MIB)
        for name, (kind, driver, switches) in FORMATS.items():
            path = Path(scratch, "image")
            subprocess.run(
                ["qemu-img", "convert", "-f", "raw", "-O", driver, *switches, disk, path], check=True
            )
            # A dynamic VHD is larger by some sectors.
            size = options.size_mib * MIB + MIB
            rounds = [
                (read_disk(path, kind, options.latency_ms / 1000), convert(path, driver, size))
                for _ in range(options.rounds)
            ]
            seconds = statistics.median(ours[0] for ours, _ in rounds)
            reference = statistics.median(theirs for _, theirs in rounds)
            _, data, stored, reads = rounds[0][0]
            results[name] = {
                "data_mib_per_s": round(data / MIB / seconds),
                "ratio_to_qemu_img": round(reference / seconds, 2),
                "stored_read_to_size": round(stored / path.stat().st_size, 2),
                "reads": reads,
            }
            path.unlink()
    print(json.dumps(results, indent=2))


main()
