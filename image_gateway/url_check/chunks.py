"""Checks of a chunked image: its manifest, a sample of its chunks, and whether they are the disk's bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator
from urllib.parse import urlsplit

from image_gateway.client.verify_http import ImageUrls, chunk_url, find_urls
from image_gateway.client.verify_requests import GONE, PLAIN, RANGED, with_path
from image_gateway.protocol.manifest import (
    MAX_MANIFEST_BYTES,
    MIME_TYPE,
    Manifest,
    ManifestError,
    parse_manifest,
)
from image_gateway.url_check.answers import Answer, budget_exhausted, quote_header
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.cors import check_plain_cors
from image_gateway.url_check.headers import check_content_headers
from image_gateway.url_check.prober import Prober
from image_gateway.url_check.target import Target

_MANIFEST_ROUTE = re.compile(r"(.*/v1/images/[^/]+)/chunked/manifest")


def find_chunked(url: str) -> ImageUrls:
    """Return where manifest and disk are, given the URL of either; what was not given is a guess."""
    urls = find_urls(url)
    if urls.disk is not None:
        return urls
    path = urlsplit(url).path
    route = _MANIFEST_ROUTE.fullmatch(path)
    disk = f"{route[1]}/range" if route else f"{path.rpartition('/')[0]}/disk.img"
    return ImageUrls(url, with_path(url, disk))


def read_document(prober: Prober, url: str) -> Answer:
    """Return a document, whole; raises ProbeFailed if the budget does not allow that."""
    limit = min(MAX_MANIFEST_BYTES, prober.bytes_left)
    answer = prober.send("GET", url, PLAIN, read=limit)
    if len(answer.body) == limit and not answer.is_whole:
        raise budget_exhausted()
    return answer


def size_of_manifest(body: bytes) -> int | None:
    """Return the size of the disk, None if the manifest is invalid."""
    try:
        return parse_manifest(body).geometry.total_size
    except ManifestError:
        return None


def check_chunked(target: Target, prober: Prober, urls: ImageUrls, answer: Answer) -> Iterator[Tried]:
    """Check the manifest in an answer, its headers, and the first, a middle and the last chunk."""
    yield check_content_headers(target, answer, "application/json")
    encoded = _encoding_faults(answer, "the manifest")
    try:
        manifest = None if encoded else parse_manifest(answer.body)
    except ManifestError as error:
        yield Tried("chunks", "manifest", faults=(Fault("manifest-invalid", str(error)),))
        return
    if manifest is None:
        yield Tried("chunks", "manifest", faults=encoded)
        return
    geometry = manifest.geometry
    detail = f"{geometry.count} chunks of {geometry.chunk_size} bytes, {geometry.total_size} bytes in all"
    yield Tried("chunks", "manifest", detail)
    has_disk = True
    for index in sorted({0, geometry.count // 2, geometry.count - 1}):
        chunk = yield from _try_chunk(target, prober, urls.manifest, manifest, index)
        if chunk is None or not has_disk:
            continue
        compared = _compare(prober, urls.disk or "", manifest, index, chunk)
        has_disk = compared.skipped is None
        yield compared
    if not target.is_same_origin:
        yield check_plain_cors(target, prober, urls.manifest, "the manifest")
        yield check_plain_cors(target, prober, chunk_url(urls.manifest, 0, manifest.index_width), "a chunk")


def _try_chunk(
    target: Target, prober: Prober, manifest_url: str, manifest: Manifest, index: int
) -> Generator[Tried, None, bytes | None]:
    """Yield what was tried, and return the bytes of the chunk if they are right."""
    size = manifest.geometry.size_of(index)
    name = f"chunk {index}"
    answer = prober.send("GET", chunk_url(manifest_url, index, manifest.index_width), PLAIN, read=size + 1)
    faults = tuple(_chunk_faults(answer, name, manifest, index))
    yield Tried("chunks", name, f"{size} bytes", faults)
    if faults:
        return None
    if index == 0:
        yield check_content_headers(target, answer, MIME_TYPE)
    return answer.body


def _chunk_faults(answer: Answer, name: str, manifest: Manifest, index: int) -> Iterator[Fault]:
    size = manifest.geometry.size_of(index)
    if answer.status in (*GONE, 403):
        yield Fault("chunk-missing", f"{name}: HTTP {answer.status}")
        return
    if answer.status != 200:
        yield Fault("status", f"{name}: HTTP {answer.status}")
        return
    encoded = _encoding_faults(answer, name)
    yield from encoded
    if encoded:
        return
    if answer.is_cut:
        yield Fault("body-shorter", f"{name}: the connection ended after {len(answer.body)} of {size} bytes")
    elif len(answer.body) != size:
        count = f"{len(answer.body)}" if len(answer.body) < size else f"more than {size}"
        yield Fault("chunk-size-wrong", f"{name} has {count} bytes, the manifest says {size}")
    else:
        digest = manifest.chunks[index].sha256 if manifest.chunks else None
        if digest is not None and hashlib.sha256(answer.body).hexdigest() != digest:
            yield Fault("chunk-differs", f"{name}: its SHA-256 is not that of the manifest")


def _encoding_faults(answer: Answer, what: str) -> tuple[Fault, ...]:
    if not answer.is_encoded:
        return ()
    return (
        Fault("chunk-encoded", f"{what} has Content-Encoding {quote_header(answer, 'Content-Encoding')}"),
    )


def _compare(prober: Prober, url: str, manifest: Manifest, index: int, chunk: bytes) -> Tried:
    """Compare a chunk with the same bytes of the disk, if there is one."""
    name = f"chunk {index} and the disk"
    start = manifest.geometry.start_of(index)
    spec = f"bytes={start}-{start + len(chunk) - 1}"
    answer = prober.send("GET", url, {**RANGED, "Range": spec}, read=len(chunk))
    if answer.status != 206 or answer.is_encoded:
        return Tried(
            "chunks", name, skipped=f"no disk can be read beside the manifest (HTTP {answer.status})"
        )
    what = f"chunk {index} differs from the disk"
    faults = (Fault("chunk-differs", what),) if answer.body != chunk else ()
    return Tried("chunks", name, "equal" if not faults else "", faults)
