"""The sizing tables of docs/scaling.md: arithmetic on measured costs, for your own load if you give it.

A reader is one that reads now: an emulator that runs. Costs are constants of this file; docs/scaling.md has
the command that measures each of them.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from streaming_report import render

EXAMPLE = """examples:
  python bench/sizing.py
  python bench/sizing.py --readers 50,500 --images 20000 --reads-per-second 8 --access-cache-seconds 30
"""
KIB_PER_READ = 64
MIB, GB = 1024, 1e9
# CPU milliseconds of one request, of 64 KiB where bytes are read.
GATEWAY_READ_MS = 1.6
EDGE_READ_MS = 0.08
PERMISSION_MS = 0.57
# Bytes in PostgreSQL, indexes included.
BYTES_PER_IMAGE = 2_390
BYTES_PER_LEASE = 461
# A session lasts half a day, and its lease stays for a day after it.
SESSION_SECONDS = 43_200
LEASE_DAYS = 1.5
SESSIONS_PER_DAY = 2
# Assumed: one call to a store in the same region, and images of one owner.
STORE_CALL_MS = 20
IMAGES_PER_OWNER = 10
# As the sweeper does.
HEADS_AT_ONCE = 16
# Assumed: a machine.
CORES, MIB_PER_SECOND = 8, 1_100


@dataclass(frozen=True)
class Load:
    """What so many readers ask for each second."""

    readers: int
    reads_per_second: float
    access_cache_seconds: float

    @property
    def reads(self) -> float:
        return self.readers * self.reads_per_second

    @property
    def mib(self) -> float:
        return self.reads * KIB_PER_READ / MIB

    @property
    def permissions(self) -> float:
        """How often nginx asks the gateway: it keeps an answer for half of ACCESS_CACHE_SECONDS."""
        return min(self.reads, self.readers / (self.access_cache_seconds / 2))

    @property
    def gateway_cores(self) -> float:
        """Cores of gunicorn alone, without nginx."""
        return self.reads * GATEWAY_READ_MS / 1000

    @property
    def edge_cores(self) -> float:
        return self.reads * EDGE_READ_MS / 1000

    @property
    def permission_cores(self) -> float:
        return self.permissions * PERMISSION_MS / 1000

    @property
    def stream_urls(self) -> float:
        """Requests to the gateway when CloudFront sends the bytes: one in a session."""
        return self.readers / SESSION_SECONDS

    @property
    def lease_mb(self) -> float:
        return self.readers * SESSIONS_PER_DAY * LEASE_DAYS * BYTES_PER_LEASE / 1e6

    @property
    def edge_nodes(self) -> int:
        return math.ceil(max((self.edge_cores + self.permission_cores) / CORES, self.mib / MIB_PER_SECOND))


def readers_table(loads: list[Load]) -> str:
    head = ["readers", "reads/s", "MiB/s", "cores, gunicorn alone", "cores of nginx", "permissions/s"]
    head += ["cores of the gateway behind nginx", "CloudFront: requests/s", "leases, MB"]
    rows = [
        [
            f"{load.readers:,}",
            f"{load.reads:,.0f}",
            f"{load.mib:,.1f}",
            f"{load.gateway_cores:,.2f}",
            f"{load.edge_cores:,.2f}",
            f"{load.permissions:,.0f}",
            f"{load.permission_cores:,.2f}",
            f"{load.stream_urls:,.4f}",
            f"{load.lease_mb:,.2f}",
        ]
        for load in loads
    ]
    return render(head, rows)


def images_table(images: list[int]) -> str:
    head = ["images", "database", "requests of a sweep", "hours of a sweep"]
    rows = []
    for count in images:
        lists = math.ceil(count / IMAGES_PER_OWNER)
        hours = (count / HEADS_AT_ONCE + lists) * STORE_CALL_MS / 3_600_000
        size = f"{count * BYTES_PER_IMAGE / GB:,.3g} GB"
        rows.append([f"{count:,}", size, f"{count + lists:,}", f"{hours:,.2g}"])
    return render(head, rows)


def installations_table(loads: list[Load], images: list[int]) -> str:
    head = ["readers", *(f"{count:,} images" for count in images)]
    return render(head, [[f"{load.readers:,}", *(installation(load, n) for n in images)] for load in loads])


def installation(load: Load, images: int) -> str:
    gigabytes = images * BYTES_PER_IMAGE / GB
    if load.edge_nodes > 1:
        machines = f"CloudFront, or {load.edge_nodes} edge nodes"
    elif load.gateway_cores <= 1:
        machines = "1 machine"
    else:
        machines = "1 machine with nginx"
    # A sweep beside writers of requests, and backups, need more than one file from here on.
    database = "SQLite" if gigabytes < 1 and load.edge_nodes == 1 else "PostgreSQL"
    return f"{machines}; {database}, {gigabytes:,.3g} GB"


def numbers(text: str) -> list[int]:
    try:
        found = [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers, such as 10,1000, not {text}") from None
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {min(found)}")
    return found


def rate(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readers", type=numbers, default=[10, 1_000, 100_000], help="10,1000,100000")
    parser.add_argument("--images", type=numbers, default=[10**3, 10**6, 10**8], help="10^3, 10^6, 10^8")
    parser.add_argument("--reads-per-second", type=rate, default=2.0, help="of 64 KiB, by one reader (2)")
    parser.add_argument("--access-cache-seconds", type=rate, default=2.0, help="ACCESS_CACHE_SECONDS (2)")
    options = parser.parse_args(arguments)
    loads = [
        Load(readers, options.reads_per_second, options.access_cache_seconds) for readers in options.readers
    ]
    tables = readers_table(loads), images_table(options.images), installations_table(loads, options.images)
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
