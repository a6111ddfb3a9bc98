"""Reads objects of deltas, of which each is written once and never replaced."""

from __future__ import annotations

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError, StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore


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
