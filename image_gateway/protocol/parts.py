"""The parts of a multipart upload: S3's limits, the plan of an upload, and lists held against each other.

Limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from image_gateway.protocol.preconditions import quoted

MIB = 1024 * 1024
MIN_PART_SIZE = 5 * MIB
MAX_PART_SIZE = 5 * 1024 * MIB
MAX_PARTS = 10_000
# 48.8 TiB, AWS's limit since December 2025; many other stores stop at 5 TiB.
MAX_OBJECT_SIZE = MAX_PARTS * MAX_PART_SIZE
MAX_NAMED = 20


@dataclass(frozen=True)
class ClaimedPart:
    """A part as the client names it; the ETag may come without quotes."""

    number: int
    etag: str


@dataclass(frozen=True)
class StoredPart:
    """A part as the store lists it; `etag` quoted, `size` in bytes.

    `rivals` are other bytes sent for the same number in the same second, where the store's list does not tell
    which came last.
    """

    number: int
    etag: str
    size: int
    rivals: tuple[StoredPart, ...] = ()


def choose_part_size(size: int | None, configured: int) -> int:
    """The configured part size, grown in whole MiB until `size` bytes fit in 10,000 equal parts.

    `size` None is not known. It must not be above MAX_OBJECT_SIZE.
    """
    if size is None:
        return configured
    needed = -(-size // MAX_PARTS)
    return configured if needed <= configured else -(-needed // MIB) * MIB


def count_parts(size: int, part_size: int) -> int:
    """How many parts `size` bytes make; an empty image is one empty part."""
    return max(1, -(-size // part_size))


def length_of_part(number: int, size: int, part_size: int) -> int:
    """Bytes of one part of a plan: `part_size`, and what is left for the last."""
    return min(part_size, size - (number - 1) * part_size)


def find_list_problem(claimed: Sequence[ClaimedPart]) -> str | None:
    """Say what is wrong with a list of parts by itself, or None."""
    if not claimed:
        return "parts must name at least one part"
    numbers = [part.number for part in claimed]
    outside = [number for number in numbers if not 1 <= number <= MAX_PARTS]
    if outside:
        return f"part numbers must be 1 to {MAX_PARTS}: {name_parts(outside)}"
    repeated = [number for number, times in Counter(numbers).items() if times > 1]
    if repeated:
        return f"part numbers must not repeat: {name_parts(repeated)}"
    return None


def find_store_problem(claimed: Sequence[ClaimedPart], stored: Iterable[StoredPart]) -> str | None:
    """Say where a client's list disagrees with what the store has, or None.

    Looks for parts the store never got, ETags it never gave, and parts other than the last that
    are below the 5 MiB that S3 demands.
    """
    known = {part.number: part for part in stored}
    missing = [part.number for part in claimed if part.number not in known]
    if missing:
        return f"the store has no such part: {name_parts(missing)}; upload it first"
    foreign = [part.number for part in claimed if quoted(part.etag) != known[part.number].etag]
    if foreign:
        return f"the etag is not what the store gave: {name_parts(foreign)}"
    last = max(part.number for part in claimed)
    small = [
        part.number for part in claimed if part.number != last and known[part.number].size < MIN_PART_SIZE
    ]
    if small:
        return f"only the last part may be smaller than {MIN_PART_SIZE} bytes: {name_parts(small)}"
    return None


def newest_parts(listed: Iterable[tuple[StoredPart, datetime]]) -> list[StoredPart]:
    """The part that counts of each number, by number, of a list with the moment when each was sent.

    A part that is sent again replaces the earlier one (AWS: UploadPart); some stores list both.
    """
    kept: dict[int, tuple[StoredPart, datetime]] = {}
    for part, moment in listed:
        other, since = kept.get(part.number, (part, moment))
        if moment > since or other.etag == part.etag:
            kept[part.number] = (part, moment)
        elif moment == since:
            kept[part.number] = (replace(other, rivals=(*other.rivals, part)), since)
    return [kept[number][0] for number in sorted(kept)]


def resolve_rivals(stored: Iterable[StoredPart], claimed: Iterable[ClaimedPart]) -> list[StoredPart]:
    """The parts with those in front that the client names by their ETags."""
    wanted = {part.number: quoted(part.etag) for part in claimed}
    return [
        next((rival for rival in part.rivals if rival.etag == wanted.get(part.number)), part)
        for part in stored
    ]


def find_rivals(stored: Iterable[StoredPart]) -> str | None:
    """Say which parts were sent twice in one second with different bytes, or None."""
    doubtful = [part.number for part in stored if part.rivals]
    if not doubtful:
        return None
    return f"sent twice with different bytes in one second: {name_parts(doubtful)}; upload again"


def find_gap(stored: Iterable[StoredPart]) -> str | None:
    """Say which parts below the highest are missing, or None; for an upload of unknown size."""
    numbers = {part.number for part in stored}
    if not numbers:
        return "no part was uploaded"
    missing = [number for number in range(1, max(numbers)) if number not in numbers]
    return f"not uploaded: {name_parts(missing)}" if missing else None


def find_plan_problem(stored: Iterable[StoredPart], size: int, part_size: int) -> str | None:
    """Say where uploaded parts differ from the plan of a declared size, or None."""
    known = {part.number: part.size for part in stored}
    count = count_parts(size, part_size)
    missing = [number for number in range(1, count + 1) if number not in known]
    if missing:
        return f"not uploaded: {name_parts(missing)}"
    beyond = [number for number in known if number > count]
    if beyond:
        return f"the declared {size} bytes make {count} parts, beyond them is {name_parts(beyond)}"
    wrong = [number for number in known if known[number] != length_of_part(number, size, part_size)]
    if wrong:
        return f"not the size that the plan gives: {name_parts(wrong)}; upload again"
    return None


def name_parts(numbers: Iterable[int]) -> str:
    """Part numbers for an error message: at most 20 of them, and how many more."""
    ordered = sorted(set(numbers))
    shown = ", ".join(str(number) for number in ordered[:MAX_NAMED])
    more = len(ordered) - MAX_NAMED
    label = "part" if len(ordered) == 1 else "parts"
    return f"{label} {shown}" + (f" and {more} more" if more > 0 else "")
