"""Chooses what to read through CloudFront: images of the catalog, or probe objects, which it deletes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from image_gateway.components import open_catalog, open_store
from image_gateway.domain.images import ImageRecord
from image_gateway.errors import GatewayError
from image_gateway.settings import Settings, SettingsError
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
PROBE_FOLDER = "image-gateway-probe"
# JSON of this size would be compressed by a distribution that compresses.
PROBE_BODY = b'{"probe": [' + b"0, " * 5000 + b"0]}"
_SEARCHED_IMAGES = 50


@dataclass(frozen=True)
class Target:
    """An object to read.

    Attributes:
        path: Path that is signed, without a trailing slash.
        key: Key of the object, below `path`.
        size: Size in bytes, at least 1.
        is_cacheable: Whether its Cache-Control lets CloudFront keep it.
        origin: What it is, for people.
    """

    path: str
    key: str
    size: int
    is_cacheable: bool
    origin: str


@contextmanager
def open_targets(settings: Settings, count: int, left: list[str]) -> Iterator[list[Target]]:
    """Yield `count` objects below different signed paths; probe objects take the place of missing images.

    Args:
        count: How many objects.
        left: Gets the keys of probe objects that cannot be deleted.

    Raises:
        GatewayError: There are too few images, and a probe object cannot be written.
    """
    targets = _images(settings)[:count]
    store = open_store(settings)
    written: dict[str, bool] = {}
    try:
        while len(targets) < count:
            targets.append(_write_probe(settings, store, written))
        yield targets
    finally:
        for key, is_certain in written.items():
            try:
                store.delete(key)
            except GatewayError as error:
                _log.debug("deleting the probe object %s failed: %s", key, error.code)
                left += [key] if is_certain else []


def _images(settings: Settings) -> list[Target]:
    """Return images whose objects are below IMAGE_BASE_PATH; none if the catalog does not answer."""
    try:
        records = open_catalog(settings).find_complete(after="", limit=_SEARCHED_IMAGES)
    except (SettingsError, GatewayError) as error:
        _log.debug("the catalog cannot be read: %s", type(error).__name__)
        return []
    return [_image(record) for record in records if _is_usable(record, settings)]


def _is_usable(record: ImageRecord, settings: Settings) -> bool:
    return record.base_path == settings.image_base_path and record.disk is not None and record.disk.size > 0


def _image(record: ImageRecord) -> Target:
    disk = record.disk
    if disk is None:
        raise ValueError("the image has no disk")
    location = record.location
    is_cacheable = not {"private", "no-store"} & _directives(disk.cache_control)
    return Target(location.path, location.disk_key, disk.size, is_cacheable, f"image {record.image_id}")


def _directives(cache_control: str | None) -> set[str]:
    return {directive.strip().lower() for directive in (cache_control or "").split(",")}


def _write_probe(settings: Settings, store: ObjectStore, written: dict[str, bool]) -> Target:
    path = f"{settings.image_base_path}/{PROBE_FOLDER}/{secrets.token_hex(8)}"
    key = f"{path.lstrip('/')}/probe.json"
    written[key] = False
    store.put(key, PROBE_BODY, content_type="application/json", cache_control=settings.cache_control)
    written[key] = True
    is_cacheable = settings.image_cache_control != "private-no-store"
    return Target(path, key, len(PROBE_BODY), is_cacheable, "a probe object")
