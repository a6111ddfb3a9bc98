"""Reads and writes objects of deltas, of which each is written once and never replaced."""

from __future__ import annotations

import secrets

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.layout import ImageLocation
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.reading.representations import OCTETS
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

# No reader gets these objects from the store itself.
CACHE_CONTROL = "private, no-store"


def write_segment(
    store: ObjectStore,
    location: ImageLocation,
    delta_id: str,
    body: bytes,
    *,
    epoch: int,
    generation: int,
    sha256: str | None = None,
) -> tuple[str, str]:
    """Write a segment of a delta below a new name, and return name and ETag.

    The name is unique for each attempt: a delayed PUT of another one must not replace what was recorded.

    Args:
        location: Of the base.
        epoch: Of the session.
        generation: That the segment makes, or that its map has.
        sha256: Of the body, in hex, if it is known.
    """
    name = f"{epoch:08x}-{generation:012x}-{secrets.token_hex(8)}.seg"
    return name, write_object(store, location.delta_key(delta_id, name), body, sha256=sha256)


def write_object(store: ObjectStore, key: str, data: bytes, *, sha256: str | None = None) -> str:
    """Write an object and return its ETag."""
    return store.put(key, data, content_type=OCTETS, cache_control=CACHE_CONTROL, sha256=sha256)


def read_object(store: ObjectStore, key: str, *, byte_range: ByteRange | None = None, pin: Pin) -> bytes:
    """Return an object's bytes; raises StoreError if it is missing or not the one of `pin`."""
    try:
        return store.open(key, byte_range=byte_range, pin=pin).body.read_all()
    except BodyBroken as error:
        raise StoreUnavailable("the store closed the connection within an object; try again") from error
    except ObjectMissing as error:
        raise StoreError(f"an object of a delta is missing from the store: {key}") from error
    except ObjectChanged as error:
        raise StoreError(f"an object of a delta was replaced: {key}") from error
