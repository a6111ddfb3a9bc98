"""The views of an image as their clients read them: names of files, documents and ranges.

The arithmetic is that of the clients, and knows nothing of how the gateway computes the same names.
"""

from __future__ import annotations

import re

import zstandard

from image_gateway.client.verify_view_reads import (
    LARGEST,
    ViewReader,
    check_size,
    count_blocks,
    name_of,
    parse_object,
    positive_number,
)
from image_gateway.protocol.verification import Problem, Unreadable, WrongAnswer
from image_gateway.protocol.view_verification import ViewAnswer, ViewBlock, ViewLayout, ViewSection

_SECTOR = 512
# Without `fixed_chunk_size`, v86 reads as many sectors as the guest asks for.
_V86_READ = 128 * _SECTOR
_WEBVM_BLOCK = 128 * 1024
_V86_EXTENSION = re.compile(r"\.[^.]+(\.zst)?$")
_SIGNATURE = re.compile(r"[0-9a-f]{1,128}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,19}", re.ASCII)
# TinyEMU's own tools write the names without quotes, and a comma after the last member.
_BARE_NAME = re.compile(r"([{,]\s*)([a-z_]+)\s*:")
_LAST_COMMA = re.compile(r",\s*}")
_MAX_TINYEMU_URL, _MAX_GROUP = 1023, 32
# A slice of a frame expands to at most 8 MiB, so that little is expanded in vain.
_FRAME_SLICE = 256


class V86:
    """v86 with `use_parts`: files named by their first byte and the byte after their last one.

    Args:
        url: `url` of the disk's options.
        block_size: `fixed_chunk_size`; without it parts of any length are read, up to the last sector.
        size: `size` of the options, if there are options.
    """

    def __init__(
        self, reader: ViewReader, url: str, block_size: int | None = None, size: int | None = None
    ) -> None:
        self.where = name_of(url)
        self._reader = reader
        self._block_size = block_size
        self._size = size
        extension = _V86_EXTENSION.search(url)
        start = extension.start() if extension else len(url)
        self._extension = url[start:]
        self._base = url[:start] if url[:start].endswith("/") else f"{url[:start]}-"
        self._is_compressed = self._extension.endswith(".zst")

    def open(self, size: int | None) -> ViewLayout:
        told = self._size or size
        if told is None:
            raise Unreadable("the size is not known, and v86 must be told it")
        problems, size = check_size(self.where, told, size), told
        length = self._block_size or _V86_READ
        beyond = count_blocks(size, length) * length

        def block(index: int) -> ViewBlock:
            start, end = index * length, (index + 1) * length
            if self._block_size is None:
                end = min(end, count_blocks(size, _SECTOR) * _SECTOR)
            url = self._url(start, end)
            return ViewBlock(name_of(url), (start,), end - start, lambda: self._read(url, end - start))

        end_url = self._url(beyond, beyond + length)
        section = ViewSection(
            count_blocks(size, length), block, check_end=lambda: self._reader.check_absent(end_url)
        )
        return ViewLayout(size, [section], problems)

    @property
    def first_url(self) -> str:
        """The URL of the first part."""
        return self._url(0, self._block_size or _V86_READ)

    def _url(self, start: int, end: int) -> str:
        return f"{self._base}{start}-{end}{self._extension}"

    def _read(self, url: str, length: int) -> ViewAnswer:
        if not self._is_compressed:
            return self._reader.file(url, length)
        # What cannot be compressed grows a little.
        answer = self._reader.file(url, length + length // 128 + 1024)
        if answer.data is None:
            return answer
        return ViewAnswer(_expand(answer.data, length), answer.problems)


class TinyEmu:
    """TinyEMU's `block_net.c`: blocks of a power of two of KiB, and groups of those in `prefetch`."""

    def __init__(self, reader: ViewReader, url: str) -> None:
        self.where = name_of(url)
        self._reader = reader
        self._url = url
        self._base = url.partition("?")[0].rpartition("/")[0]

    def open(self, size: int | None) -> ViewLayout:
        text, problems = self._reader.text(self._url)
        content = parse_object(_LAST_COMMA.sub("}", _BARE_NAME.sub(r'\1"\2":', text)))
        kib, count = positive_number(content, "block_size"), positive_number(content, "n_block")
        if kib & (kib - 1):
            raise WrongAnswer("schema", "block_size must be a power of two")
        length = kib * 1024
        if size is None:
            size = count * length
        elif count != count_blocks(size, length):
            problems.append(Problem(self.where, "n_block", f"is {count}, not {count_blocks(size, length)}"))
        blocks = content.get("prefetch", [])
        if not isinstance(blocks, list) or not all(type(n) is int and 0 <= n < count for n in blocks):
            raise WrongAnswer("schema", "prefetch must hold numbers of blocks")
        group = positive_number(content, "prefetch_group_len") if "prefetch_group_len" in content else 1
        if group > _MAX_GROUP:
            raise WrongAnswer("schema", f"prefetch_group_len must be at most {_MAX_GROUP}")
        if len(self._block_url(count)) > _MAX_TINYEMU_URL:
            problems.append(Problem(self.where, "url", f"is longer than {_MAX_TINYEMU_URL} bytes"))
        return ViewLayout(size, self._sections(length, count_blocks(size, length), blocks, group), problems)

    def _sections(self, length: int, count: int, prefetch: list[int], group: int) -> list[ViewSection]:
        groups = [prefetch[start : start + group] for start in range(0, len(prefetch), group)]

        def block(index: int) -> ViewBlock:
            url = self._block_url(index)
            return ViewBlock(name_of(url), (index * length,), length, lambda: self._reader.file(url, length))

        def read_group(index: int) -> ViewBlock:
            members = groups[index]
            if len(members) == 1:
                return block(members[0])
            url = f"{self._base}/grp{index:09d}.bin"
            starts = tuple(number * length for number in members)
            whole = len(members) * length
            return ViewBlock(name_of(url), starts, length, lambda: self._reader.file(url, whole))

        image = ViewSection(count, block, check_end=lambda: self._reader.check_absent(self._block_url(count)))
        return [image, *([ViewSection(len(groups), read_group, is_image=False)] if groups else [])]

    def _block_url(self, index: int) -> str:
        return f"{self._base}/blk{index:09d}.bin"


class InfiniteMac:
    """infinite-mac's chunked disk: chunks by their signatures; one without a signature is zeros.

    Args:
        base_url: Where the chunks are; by default beside the manifest.
    """

    def __init__(self, reader: ViewReader, url: str, base_url: str | None = None) -> None:
        self.where = name_of(url)
        self._reader = reader
        self._url = url
        self._base = base_url or url.partition("?")[0].rpartition("/")[0]

    def open(self, size: int | None) -> ViewLayout:
        content, problems = self._reader.document(self._url)
        total, length = positive_number(content, "totalSize"), positive_number(content, "chunkSize")
        chunks = content.get("chunks")
        if not isinstance(content.get("name"), str):
            raise WrongAnswer("schema", "name must be a string")
        if not isinstance(chunks, list) or not all(map(_is_signature, chunks)):
            raise WrongAnswer("schema", "chunks must hold hex numbers in lower case, or empty strings")
        count = count_blocks(total, length)
        if len(chunks) != count:
            raise WrongAnswer("schema", f"chunks has {len(chunks)} entries, not {count}")
        prefetch = content.get("prefetchChunks", [])
        if not isinstance(prefetch, list) or not all(
            type(number) is int and 0 <= number < count for number in prefetch
        ):
            raise WrongAnswer("schema", "prefetchChunks must hold numbers of chunks")

        def block(index: int) -> ViewBlock:
            start, signature = index * length, chunks[index]
            size = min(length, total - start)
            if not signature:
                return ViewBlock(f"chunk {index}", (start,), size, lambda: ViewAnswer(bytes(size)))
            url = self._chunk_url(signature)
            return ViewBlock(name_of(url), (start,), size, lambda: self._reader.file(url, size))

        def check_end() -> list[Problem]:
            # Where names are hashes, there is none that would come next.
            if any(signature not in ("", f"{index:x}") for index, signature in enumerate(chunks)):
                return []
            return self._reader.check_absent(self._chunk_url(f"{count:x}"))

        problems += check_size(self.where, total, size)
        return ViewLayout(total, [ViewSection(count, block, check_end=check_end)], problems)

    def _chunk_url(self, signature: str) -> str:
        return f"{self._base}/{signature}.chunk"


class GitHubDevice:
    """CheerpX's `GitHubDevice`: the size in `.meta`, blocks of 128 KiB by hex numbers."""

    def __init__(self, reader: ViewReader, url: str) -> None:
        self.where = f"{name_of(url)}.meta"
        self._reader = reader
        self._url = url

    def open(self, size: int | None) -> ViewLayout:
        text, problems = self._reader.text(f"{self._url}.meta")
        if not _DECIMAL.fullmatch(text.strip()) or not 0 < int(text) <= LARGEST:
            raise WrongAnswer("size", "must be a decimal number")
        total = int(text)

        def block(index: int) -> ViewBlock:
            start, url = index * _WEBVM_BLOCK, self._block_url(index)
            length = min(_WEBVM_BLOCK, total - start)
            return ViewBlock(name_of(url), (start,), length, lambda: self._reader.file(url, length))

        count = count_blocks(total, _WEBVM_BLOCK)
        problems += check_size(self.where, total, size)
        section = ViewSection(
            count, block, check_end=lambda: self._reader.check_absent(self._block_url(count))
        )
        return ViewLayout(total, [section], problems)

    def _block_url(self, index: int) -> str:
        return f"{self._url}.c{index:06x}.txt"


def _expand(frame: bytes, length: int) -> bytes:
    """Return what one zstd frame expands to, at most a slice more than `length` bytes."""
    decoder = zstandard.ZstdDecompressor().decompressobj()
    found, size = [], 0
    try:
        for start in range(0, len(frame), _FRAME_SLICE):
            if decoder.eof:
                raise WrongAnswer("zstd", "has more than one frame, or bytes after it")
            found.append(decoder.decompress(frame[start : start + _FRAME_SLICE]))
            size += len(found[-1])
            if size > length:
                break
    except zstandard.ZstdError:
        raise WrongAnswer("zstd", "is not a zstd frame") from None
    if size <= length and not decoder.eof:
        raise WrongAnswer("zstd", "is not a whole zstd frame")
    if decoder.unused_data:
        raise WrongAnswer("zstd", "has more than one frame, or bytes after it")
    return b"".join(found)[: length + 1]


def _is_signature(value: object) -> bool:
    return isinstance(value, str) and (not value or _SIGNATURE.fullmatch(value) is not None)
