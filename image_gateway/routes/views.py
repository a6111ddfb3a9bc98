"""Routes of views: the files that emulators ask for, made of ranges of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Response, request

from image_gateway.domain.leases import ChunksFrom
from image_gateway.errors import NotFound
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.views import infinite_mac, raw, sqlite, tinyemu, v86, webvm
from image_gateway.protocol.views.pieces import Document, Piece
from image_gateway.routes.http.public_url import own_root
from image_gateway.routes.http.responses import redirect_to
from image_gateway.routes.http.view_errors import empty_view_error
from image_gateway.routes.image_bytes import ReadableImage, ReadHandler, stream_holder
from image_gateway.services.boot_traces import BootTraces
from image_gateway.services.reading.pieces import PieceReader
from image_gateway.services.reading.reader import represent_disk
from image_gateway.services.stream_urls import Delivery

FindImage = Callable[..., ReadableImage]


def make_view_blueprints(
    handler: ReadHandler, pieces: PieceReader, delivery: Delivery, traces: BootTraces
) -> list[Blueprint]:
    """Route the views below a lease in the path, and below an image for callers that it can be read by."""
    leased = Blueprint("leased_views", __name__, url_prefix="/v1/l/<token>")
    plain = Blueprint("views", __name__, url_prefix="/v1/images/<image_id>/views")
    views = _Views(handler, pieces, delivery, traces)
    _add_pieces(leased, views, handler.find_leased)
    _add_pieces(plain, views, handler.find)
    _add_disks(leased, views, handler.find_leased)
    _add_disks(plain, views, handler.find)
    # Also of names below these paths that no route has.
    leased.after_app_request(empty_view_error)
    return [leased, plain]


class _Views:
    """Answers requests for the files of views."""

    def __init__(
        self, handler: ReadHandler, pieces: PieceReader, delivery: Delivery, traces: BootTraces
    ) -> None:
        self._traces = traces
        self._handler = handler
        self._pieces = pieces
        self._delivery = delivery

    def send(self, found: ReadableImage, file: Document | Piece | None) -> Response:
        """Answer with a file of a view; raises NotFound for None."""
        record, disk, caller = found
        if file is None:
            raise NotFound("the view has no such file")
        if isinstance(file, Document):
            return self._handler.answer_view(
                found, lambda asked: self._pieces.read_document(record, disk, file, asked)
            )
        holder = stream_holder(caller)
        return self._handler.answer_view(
            found, lambda asked: self._pieces.read(record, disk, file, asked, holder)
        )

    def prefetch_of(self, found: ReadableImage) -> Sequence[ByteRange]:
        """Return what a boot of the image reads, in order; empty if it was not recorded."""
        return self._traces.prefetch_ranges(found.record, found.disk)

    def zeros_of(self, found: ReadableImage) -> Callable[[ByteRange], bool]:
        """Return what tells whether a range of the image is known to hold only zeros."""
        return self._pieces.zeros_of(found.record, found.disk)

    def send_disk(self, found: ReadableImage, *, save_as: str | None = None) -> Response:
        """Answer with the plain disk by ranges; a CDN sends it to readers whose lease allows that.

        With `save_as` browsers save it under this name.
        """
        lease = found.lease
        if save_as is None and lease is not None and lease.chunks_from is ChunksFrom.CDN:
            key = represent_disk(found.record, found.disk).key
            url = self._delivery.redirect_url(found.record, key)
            if url is not None:
                return redirect_to(url)
        response = self._handler.answer_plain_view(found)
        if save_as is not None:
            response.headers["Content-Disposition"] = raw.attachment(save_as)
        return response


def _add_pieces(blueprint: Blueprint, views: _Views, find: FindImage) -> None:
    """Route the views that are made of pieces."""

    @blueprint.get("/v86/<block_size>/<name>")
    def v86_part(block_size: str, name: str, **image: str) -> Response:
        found = find(**image)
        return views.send(found, v86.find(found.disk.size, block_size, name))

    @blueprint.get("/tinyemu/<block_size>/<name>")
    def tinyemu_block(block_size: str, name: str, **image: str) -> Response:
        found = find(**image)
        prefetch = views.prefetch_of(found) if tinyemu.needs_prefetch(name) else ()
        return views.send(found, tinyemu.find(found.disk.size, block_size, name, prefetch))

    @blueprint.get("/infinite-mac/<block_size>/<name>")
    def infinite_mac_chunk(block_size: str, name: str, **image: str) -> Response:
        found = find(**image)
        prefetch = views.prefetch_of(found) if name == infinite_mac.MANIFEST else ()
        size, image_name, is_zero = found.disk.size, found.record.name, views.zeros_of(found)
        return views.send(
            found, infinite_mac.find(size, block_size, name, image_name, prefetch, is_zero=is_zero)
        )

    @blueprint.get("/webvm/<name>")
    def webvm_block(name: str, **image: str) -> Response:
        found = find(**image)
        return views.send(found, webvm.find(found.disk.size, name))

    @blueprint.get("/sqlite/<block_size>/<name>")
    def sqlite_piece(block_size: str, name: str, **image: str) -> Response:
        found = find(**image)
        root = own_root() + request.path.removesuffix(f"/sqlite/{block_size}/{name}")
        return views.send(found, sqlite.find(found.disk.size, block_size, name, root))


def _add_disks(blueprint: Blueprint, views: _Views, find: FindImage) -> None:
    """Route the views that are the plain disk, under other names."""

    @blueprint.get(f"/webvm/bytes/{webvm.DISK}")
    def webvm_bytes(**image: str) -> Response:
        return views.send_disk(find(**image))

    @blueprint.get("/raw/<name>")
    def raw_disk(name: str, **image: str) -> Response:
        found = find(**image)
        if not raw.is_file_name(name):
            raise NotFound("a file name with an extension is needed")
        return views.send_disk(found, save_as=name if "download" in request.args else None)
