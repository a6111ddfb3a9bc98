"""Removing what an image has in the store."""

from __future__ import annotations

import logging
from itertools import islice

from image_gateway.catalog.records import ImageRecord
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
BATCH = 1000


def purge(store: ObjectStore, record: ImageRecord, *, at_most: int | None = None) -> bool:
    """Abort an image's upload and delete its objects, the disk first; returns whether nothing is left.

    `at_most` bounds the objects deleted in one call. What is gone already is no error; StoreError and
    StoreUnavailable leave the rest for another time.
    """
    location = record.location
    store.abort_upload(location.disk_key, record.plan.upload_id)
    store.delete(location.disk_key)
    store.delete(location.manifest_key)
    keys = islice((item.key for item in store.list_objects(location.prefix)), at_most)
    while batch := list(islice(keys, BATCH)):
        store.delete_many(batch)
    left = next(store.list_objects(location.prefix), None)
    if left is None:
        _log.info("image %s has nothing left in the store", record.image_id)
    return left is None
