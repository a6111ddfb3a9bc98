"""PEM and DER taken apart, and a search for what must not be told."""

from __future__ import annotations

import base64

HEADER = 26  # bytes of a PKCS#8 wrapping before the key itself; the same for every RSA key


def armour(der: bytes, label: str) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def unarmour(text: str) -> bytes:
    return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))


def flip(der: bytes, place: int, bits: int) -> bytes:
    return der[:place] + bytes([der[place] ^ bits]) + der[place + 1 :]


def integers(der: bytes) -> list[tuple[int, int]]:
    """Where the tag and the middle of each INTEGER of a PKCS#1 key lie."""
    places, start = [], 4
    while start < len(der):
        first = der[start + 1]
        header = 2 if first < 0x80 else 2 + (first & 0x7F)
        length = first if first < 0x80 else int.from_bytes(der[start + 2 : start + header])
        places.append((start, start + header + length // 2))
        start += header + length
    return places


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and all that a traceback would show behind it."""
    if error is None:
        return []
    return [error, *chain(error.__cause__ or (None if error.__suppress_context__ else error.__context__))]


def tells(error: BaseException, der: bytes) -> bool:
    """Whether a traceback would show six bytes in a row of the key."""
    told = "\n".join(str(link) for link in chain(error))
    return any(repr(der[start : start + 6])[2:-1] in told for start in range(HEADER, len(der) - 6))
