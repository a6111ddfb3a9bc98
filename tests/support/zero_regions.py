"""A gateway over a store that counts the calls by which objects are read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from image_gateway.protocol.zero_map import BLOCK_SIZE
from image_gateway.storage.client import StoreClients
from image_gateway.storage.object_reads import ObjectInfo, OpenObject
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import make_reader
from tests.support.world import Image, World

CHUNK = 4 * BLOCK_SIZE


class CountingStore(ObjectStore):
    """Notes the key of every read."""

    def __init__(self, clients: StoreClients) -> None:
        super().__init__(clients, make_reader(clients))
        self.calls: list[str] = []

    def open(self, key: str, **options: object) -> OpenObject:
        self.calls.append(key)
        return super().open(key, **options)  # type: ignore[arg-type]

    def head(self, key: str) -> ObjectInfo:
        self.calls.append(key)
        return super().head(key)


@dataclass
class Zeros:
    """A gateway over a store that counts, and images whose zero maps it has loaded."""

    world: World
    store: CountingStore

    @classmethod
    def over(cls, world: World, **settings: object) -> Zeros:
        store = CountingStore(world.clients)
        return cls(replace(world, store=store).with_settings(**settings), store)

    def make_image(self, data: bytes, chunk_size: int = CHUNK) -> Image:
        image = self.world.make_image(data)
        self.world.publish(image, chunk_size)
        return image

    def make_loaded(self, data: bytes) -> Image:
        image = self.make_image(data)
        self.read(image, 0, 1)
        self.store.calls.clear()
        return image

    def read(self, image: Image, start: int, stop: int) -> tuple[bytes, int]:
        """The bytes of a range, and how many calls of the store it took."""
        before = len(self.store.calls)
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        response = self.world.request("GET", image.path("range"), headers=headers)
        assert response.status_code == 206
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(image.data)}"
        return response.data, len(self.store.calls) - before

    def map_key(self, image: Image) -> str:
        record = self.world.catalog.find(image.image_id)
        assert record is not None
        assert record.zero_map_bytes is not None
        return record.location.zero_map_key


def make_data(pattern: str, tail: int = 0) -> bytes:
    """Blocks of zeros (.) and of data (#), and then some zeros."""
    return b"".join((b"\x5a" if mark == "#" else b"\x00") * BLOCK_SIZE for mark in pattern) + bytes(tail)
