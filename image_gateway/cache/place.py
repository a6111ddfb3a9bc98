"""Where a block lies, and which bytes of the image it covers."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

FOLDER_BLOCKS = 256


class Place(NamedTuple):
    """A block's bytes [start, stop) of the image; its file is `folder`/`name`-`checksum`."""

    start: int
    stop: int
    folder: str
    name: str

    @property
    def length(self) -> int:
        """Bytes of the block; only the last one of an image is shorter than the others."""
        return self.stop - self.start

    @property
    def stem(self) -> str:
        """The path of the file up to its checksum."""
        return f"{self.folder}/{self.name}"


def place_of(blocks: str, version: str, size: int, block_size: int, index: int) -> Place:
    """Find a block's place under the folder `blocks`; images and block sizes never share a folder."""
    identity = f"{block_size} {size} {version}".encode(errors="surrogatepass")
    digest = hashlib.sha256(identity).hexdigest()
    folder = f"{blocks}/{digest[:2]}/{digest[2:40]}/{index // FOLDER_BLOCKS:x}"
    start = index * block_size
    return Place(start, min(size, start + block_size), folder, f"{index:x}")
