"""Parts of a multipart upload: S3 limits, the upload plan, and validation of part lists.

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
# 48.8 TiB, the AWS limit since December 2025; many other stores allow only 5 TiB.
MAX_OBJECT_SIZE = MAX_PARTS * MAX_PART_SIZE
MAX_NAMED = 20


@dataclass(frozen=True)
class ClaimedPart:
    """A part as listed by the client; the ETag may be unquoted."""

    number: int
    etag: str


@dataclass(frozen=True)
class StoredPart:
    """A part as listed by the store; `etag` is quoted, `size` in bytes.

    `rivals` are uploads of other bytes for the same number in the same second, if the store's list does not
    show which one came last.
    """

    number: int
    etag: str
    size: int
    rivals: tuple[StoredPart, ...] = ()


def choose_part_size(size: int | None, configured: int) -> int:
    """Return the configured part size, enlarged in whole MiB if `size` bytes need more than 10,000 parts.

    Args:
        size: At most MAX_OBJECT_SIZE bytes; None if unknown.
        configured: The part size from the settings, in bytes.
    """
    if size is None:
        return configured
    needed = -(-size // MAX_PARTS)
    return configured if needed <= configured else -(-needed // MIB) * MIB


def count_parts(size: int, part_size: int) -> int:
    """Return the number of parts for `size` bytes; an empty image has one empty part."""
    return max(1, -(-size // part_size))


def length_of_part(number: int, size: int, part_size: int) -> int:
    """Return the length of a planned part in bytes: `part_size`, or the rest for the last part."""
    return min(part_size, size - (number - 1) * part_size)


def find_list_problem(claimed: Sequence[ClaimedPart]) -> str | None:
    """Return an error message if the list of parts is invalid by itself, or None."""
    if not claimed:
        return "parts must contain at least one part"
    numbers = [part.number for part in claimed]
    outside = [number for number in numbers if not 1 <= number <= MAX_PARTS]
    if outside:
        return f"part numbers must be 1 to {MAX_PARTS}: {name_parts(outside)}"
    repeated = [number for number, times in Counter(numbers).items() if times > 1]
    if repeated:
        return f"part numbers must not repeat: {name_parts(repeated)}"
    return None


def find_store_problem(claimed: Sequence[ClaimedPart], stored: Iterable[StoredPart]) -> str | None:
    """Return an error message if the client's list does not match the parts in the store, or None.

    Checks for parts that were not uploaded, wrong ETags, and parts other than the last below the 5 MiB
    minimum of S3.
    """
    known = {part.number: part for part in stored}
    missing = [part.number for part in claimed if part.number not in known]
    if missing:
        return f"not found in the store: {name_parts(missing)}; upload first"
    mismatched = [part.number for part in claimed if quoted(part.etag) != known[part.number].etag]
    if mismatched:
        return f"the ETag does not match the store's: {name_parts(mismatched)}"
    last = max(part.number for part in claimed)
    small = [
        part.number for part in claimed if part.number != last and known[part.number].size < MIN_PART_SIZE
    ]
    if small:
        return f"only the last part may be smaller than {MIN_PART_SIZE} bytes: {name_parts(small)}"
    return None


def newest_parts(listed: Iterable[tuple[StoredPart, datetime]]) -> list[StoredPart]:
    """Return the effective part for each number, in ascending order.

    A part that is uploaded again replaces the earlier one (AWS: UploadPart); some stores list both.

    Args:
        listed: Parts with their upload times.
    """
    kept: dict[int, tuple[StoredPart, datetime]] = {}
    for part, uploaded_at in listed:
        other, newest_at = kept.get(part.number, (part, uploaded_at))
        if uploaded_at > newest_at or other.etag == part.etag:
            kept[part.number] = (part, uploaded_at)
        elif uploaded_at == newest_at:
            kept[part.number] = (replace(other, rivals=(*other.rivals, part)), newest_at)
    return [kept[number][0] for number in sorted(kept)]


def resolve_rivals(stored: Iterable[StoredPart], claimed: Iterable[ClaimedPart]) -> list[StoredPart]:
    """Return the parts, replaced by the rival whose ETag the client lists, if any."""
    etags = {part.number: quoted(part.etag) for part in claimed}
    return [
        next((rival for rival in part.rivals if rival.etag == etags.get(part.number)), part)
        for part in stored
    ]


def find_rivals(stored: Iterable[StoredPart]) -> str | None:
    """Return an error message if parts were uploaded twice in one second with different bytes, or None."""
    ambiguous = [part.number for part in stored if part.rivals]
    if not ambiguous:
        return None
    return f"uploaded twice with different bytes in one second: {name_parts(ambiguous)}; upload again"


def find_gap(stored: Iterable[StoredPart]) -> str | None:
    """Return an error message if a part below the highest number is missing, or None. For unknown sizes."""
    numbers = {part.number for part in stored}
    if not numbers:
        return "no part was uploaded"
    missing = [number for number in range(1, max(numbers)) if number not in numbers]
    return f"not uploaded: {name_parts(missing)}" if missing else None


def find_plan_problem(stored: Iterable[StoredPart], size: int, part_size: int) -> str | None:
    """Return an error message if the uploaded parts do not match the plan for the declared size, or None."""
    known = {part.number: part.size for part in stored}
    count = count_parts(size, part_size)
    missing = [number for number in range(1, count + 1) if number not in known]
    if missing:
        return f"not uploaded: {name_parts(missing)}"
    beyond = [number for number in known if number > count]
    if beyond:
        return f"beyond the {count} parts of the declared {size} bytes: {name_parts(beyond)}"
    wrong = [number for number in known if known[number] != length_of_part(number, size, part_size)]
    if wrong:
        return f"wrong size for the upload plan: {name_parts(wrong)}; upload again"
    return None


def name_parts(numbers: Iterable[int]) -> str:
    """Format part numbers for an error message: at most 20 numbers and the count of the others."""
    ordered = sorted(set(numbers))
    shown = ", ".join(str(number) for number in ordered[:MAX_NAMED])
    more = len(ordered) - MAX_NAMED
    label = "part" if len(ordered) == 1 else "parts"
    return f"{label} {shown}" + (f" and {more} more" if more > 0 else "")
