"""Readers of views, each as one client reads: the arithmetic of its URLs, and what it takes for an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import zstandard

SIZES_OF_READS = (4096, 8192, 65_536)


@dataclass(frozen=True)
class Got:
    """An answer; headers by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# Method, absolute URL, headers.
Fetch = Callable[[str, str, Mapping[str, str]], Got]


def whole(fetch: Fetch, url: str, status: int = 200) -> bytes:
    """The body of a plain GET, which must have exactly the length that it says."""
    got = fetch("GET", url, {})
    assert got.status == status, (url, got.status, got.headers.get("x-error-code"))
    assert int(got.headers["content-length"]) == len(got.body), url
    assert "content-encoding" not in got.headers, url
    assert "transfer-encoding" not in got.headers, url
    return got.body


class V86:
    """`AsyncXHRPartfileBuffer`: with `fixed_chunk_size` parts of it, else multiples of 256 bytes."""

    def __init__(self, fetch: Fetch, options: Mapping[str, Any]) -> None:
        assert options["async"]
        assert options["use_parts"]
        self._fetch = fetch
        self.size: int = options["size"]
        self._chunk: int | None = options.get("fixed_chunk_size")
        extension = re.search(r"\.[^\.]+(\.zst)?$", options["url"])
        assert extension is not None
        self._extension = extension[0]
        self._base = options["url"][: extension.start()]
        if not self._base.endswith("/"):
            self._base += "-"

    def part(self, start: int, stop: int) -> bytes:
        body = whole(self._fetch, f"{self._base}{start}-{stop}{self._extension}")
        if self._extension.endswith(".zst"):
            decoder = zstandard.ZstdDecompressor().decompressobj()
            assert zstandard.get_frame_parameters(body).content_size == stop - start
            body = decoder.decompress(body)
            assert (decoder.eof, decoder.unused_data) == (True, b"")
        assert len(body) == stop - start
        return body

    def read(self, offset: int, length: int) -> bytes:
        unit = self._chunk or 256
        first, last = offset // unit * unit, -(-(offset + length) // unit) * unit
        if self._chunk is None:
            data = self.part(first, last)
        else:
            data = b"".join(self.part(start, start + unit) for start in range(first, last, unit))
        return data[offset - first : offset - first + length]

    def image(self) -> bytes:
        return self.read(0, self.size)


class TinyEmu:
    """`block_net.c`: the directory of the URL, `%09u`, and groups of the list `prefetch`."""

    def __init__(self, fetch: Fetch, url: str) -> None:
        self._fetch = fetch
        self._base = url[: url.rindex("/") + 1]
        self.config = json.loads(whole(fetch, url))
        self.block_size = self.config["block_size"] * 1024
        assert self.block_size & (self.block_size - 1) == 0
        assert self.config["prefetch_group_len"] <= 32

    def block(self, number: int) -> bytes:
        url = f"{self._base}blk{number:09d}.bin"
        assert len(url) < 1024
        body = whole(self._fetch, url)
        assert len(body) == self.block_size
        return body

    def prefetched(self) -> dict[int, bytes]:
        """The blocks that are read at the start."""
        blocks, length = self.config["prefetch"], self.config["prefetch_group_len"]
        found = {}
        for index in range(0, len(blocks), length):
            group = blocks[index : index + length]
            if len(group) == 1:
                found[group[0]] = self.block(group[0])
                continue
            body = whole(self._fetch, f"{self._base}grp{index // length:09d}.bin")
            assert len(body) == self.block_size * len(group)
            for place, number in enumerate(group):
                found[number] = body[place * self.block_size : (place + 1) * self.block_size]
        return found

    def padded_image(self) -> bytes:
        return b"".join(self.block(number) for number in range(self.config["n_block"]))


class InfiniteMac:
    """The chunked disk: chunks by their signatures, where the empty one is zeros."""

    def __init__(self, fetch: Fetch, url: str, base_url: str) -> None:
        self._fetch = fetch
        self._base = base_url
        self.spec = json.loads(whole(fetch, url))
        assert len(self.spec["chunks"]) == -(-self.spec["totalSize"] // self.spec["chunkSize"])

    def chunk(self, index: int) -> bytes:
        signature = self.spec["chunks"][index]
        if signature == "":
            return bytes(self.spec["chunkSize"])
        assert re.fullmatch("[0-9a-f]+", signature)
        return whole(self._fetch, f"{self._base}/{signature}.chunk")

    def image(self) -> bytes:
        return b"".join(self.chunk(index) for index in range(len(self.spec["chunks"])))


class GitHubDevice:
    """CheerpX: the size in `.meta`, blocks of 128 KiB by `%06x`."""

    BLOCK = 131_072

    def __init__(self, fetch: Fetch, url: str) -> None:
        self._fetch = fetch
        self._url = url
        self.size = int(whole(fetch, f"{url}.meta").decode("ascii"))

    def image(self) -> bytes:
        count = -(-self.size // self.BLOCK)
        return b"".join(whole(self._fetch, f"{self._url}.c{index:06x}.txt") for index in range(count))


class HttpBytesDevice:
    """CheerpX: a probe of two bytes, then ranges of 128 KiB of which the last is not clipped."""

    BLOCK = 131_072

    def __init__(self, fetch: Fetch, url: str) -> None:
        self._fetch = fetch
        self._url = url
        probe = self._range(0, 1)
        assert probe.headers["content-range"].startswith("bytes 0-1/")
        assert probe.headers.get("etag") or probe.headers.get("last-modified")
        exposed = probe.headers["access-control-expose-headers"].replace(" ", "").split(",")
        assert {"content-range", "etag"} <= set(exposed)
        self.size = int(probe.headers["content-range"].partition("/")[2])

    def _range(self, first: int, last: int) -> Got:
        got = self._fetch("GET", self._url, {"Range": f"bytes={first}-{last}"})
        assert got.status == 206
        assert "content-encoding" not in got.headers
        return got

    def image(self) -> bytes:
        starts = range(0, self.size, self.BLOCK)
        return b"".join(self._range(start, start + self.BLOCK - 1).body for start in starts)


class HttpVfs:
    """sql.js-httpvfs: ranges of the whole file, or of pieces, which may go on beyond a piece's end."""

    def __init__(self, fetch: Fetch, config_url: str) -> None:
        self._fetch = fetch
        self.config = json.loads(whole(fetch, config_url))
        self._chunked = self.config["serverMode"] == "chunked"
        if self._chunked:
            self.size = self.config["databaseLengthBytes"]
            return
        head = fetch("HEAD", self.config["url"], {})
        assert head.status == 200
        assert head.headers["accept-ranges"] == "bytes"
        self.size = int(head.headers["content-length"])

    def _place(self, first: int, last: int) -> tuple[str, int, int]:
        if not self._chunked:
            return self.config["url"], first, last
        piece = first // self.config["serverChunkSize"]
        start = first % self.config["serverChunkSize"]
        name = str(piece).rjust(self.config["suffixLength"], "0")
        return f"{self.config['urlPrefix']}{name}?cb=1", start, start + last - first

    def read(self, first: int, last: int) -> bytes:
        url, start, stop = self._place(first, last)
        got = self._fetch("GET", url, {"Range": f"bytes={start}-{stop}"})
        assert got.status == 206, (url, got.status)
        assert len(got.body) == last - first + 1
        return got.body

    def image(self, sizes: tuple[int, ...] = SIZES_OF_READS) -> bytes:
        """Read it in ranges that grow, as sequential reads do."""
        found = b""
        while len(found) < self.size:
            length = sizes[min(len(found) // 4096, len(sizes) - 1)]
            found += self.read(len(found), min(len(found) + length, self.size) - 1)
        return found


def native(fetch: Fetch, url: str) -> bytes:
    """As qemu's curl driver: HEAD, then ranges."""
    head = fetch("HEAD", url, {})
    assert (head.status, head.headers["accept-ranges"]) == (200, "bytes")
    size, found = int(head.headers["content-length"]), b""
    while len(found) < size:
        got = fetch("GET", url, {"Range": f"bytes={len(found)}-{len(found) + 262_143}"})
        assert got.status == 206
        found += got.body
    return found


def read_offered(fetch: Fetch, views: Mapping[str, Any]) -> dict[str, bytes]:
    """The image by each of the views that a stream URL offers, whole."""
    size = views["v86"]["size"]
    return {
        "v86": V86(fetch, views["v86"]).image(),
        "v86 zst": V86(fetch, {**views["v86"], "url": f"{views['v86']['url']}.zst"}).image(),
        "tinyemu": TinyEmu(fetch, views["tinyemu"]["url"]).padded_image()[:size],
        "infinite-mac": InfiniteMac(fetch, **_mac(views["infinite-mac"])).image(),
        "webvm": GitHubDevice(fetch, views["webvm"]["url"]).image(),
        "webvm bytes": HttpBytesDevice(fetch, views["webvm"]["bytesUrl"]).image(),
        "sqlite": HttpVfs(fetch, views["sqlite"]["configUrl"]).image(),
        "raw": native(fetch, views["raw"]["url"]),
    }


def _mac(options: Mapping[str, str]) -> dict[str, str]:
    return {"url": options["url"], "base_url": options["baseUrl"]}
