"""Routes of views: the files that emulators ask for, made of ranges of one image or delta."""

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
from image_gateway.routes.image_bytes import ReadableDisk, ReadHandler, stream_holder
from image_gateway.services.boot_traces import BootTraces
from image_gateway.services.reading.pieces import PieceReader
from image_gateway.services.stream_urls import Delivery

FindDisk = Callable[..., ReadableDisk]


def make_view_blueprints(
    handler: ReadHandler, pieces: PieceReader, delivery: Delivery, traces: BootTraces
) -> list[Blueprint]:
    """Route the views below a lease in the path, and below an image or a delta for those who may read it."""
    leased = Blueprint("leased_views", __name__, url_prefix="/v1/l/<token>")
    plain = Blueprint("views", __name__, url_prefix="/v1/images/<image_id>/views")
    of_deltas = Blueprint("delta_views", __name__, url_prefix="/v1/deltas/<delta_id>/views")
    views = _Views(handler, pieces, delivery, traces)
    finders: list[tuple[Blueprint, FindDisk]] = [
        (leased, handler.find_leased),
        (plain, handler.find),
        (of_deltas, handler.find_delta),
    ]
    for blueprint, find in finders:
        _add_pieces(blueprint, views, find)
        _add_disks(blueprint, views, find)
    # Also of names below these paths that no route has.
    leased.after_app_request(empty_view_error)
    return [leased, plain, of_deltas]


class _Views:
    """Answers requests for the files of views."""

    def __init__(
        self, handler: ReadHandler, pieces: PieceReader, delivery: Delivery, traces: BootTraces
    ) -> None:
        self._traces = traces
        self._handler = handler
        self._pieces = pieces
        self._delivery = delivery

    def send(self, found: ReadableDisk, file: Document | Piece | None) -> Response:
        """Answer with a file of a view; raises NotFound for None."""
        record, target = found.record, found.target
        if file is None:
            raise NotFound("the view has no such file")
        if isinstance(file, Document):
            return self._handler.answer_view(
                found, lambda asked: self._pieces.read_document(record, target, file, asked)
            )
        holder = stream_holder(found.caller)
        return self._handler.answer_view(
            found, lambda asked: self._pieces.read(record, target, file, asked, holder)
        )

    def prefetch_of(self, found: ReadableDisk) -> Sequence[ByteRange]:
        """Return what a boot of the image, or of a delta's base, reads in order; empty if not recorded."""
        return self._traces.prefetch_ranges(found.record, found.disk)

    def zeros_of(self, found: ReadableDisk) -> Callable[[ByteRange], bool]:
        """Return what tells whether a range of the disk is known to hold only zeros."""
        return self._pieces.zeros_of(found.target)

    def send_disk(self, found: ReadableDisk, *, save_as: str | None = None) -> Response:
        """Answer with the plain disk by ranges; a CDN sends it to readers whose lease allows that.

        With `save_as` browsers save it under this name.
        """
        lease = found.lease
        is_from_cdn = lease is not None and lease.chunks_from is ChunksFrom.CDN and found.delta is None
        if save_as is None and is_from_cdn:
            url = self._delivery.redirect_url(found.record, found.target.key)
            if url is not None:
                return redirect_to(url)
        response = self._handler.answer_plain_view(found)
        if save_as is not None:
            response.headers["Content-Disposition"] = raw.attachment(save_as)
        return response


def _add_pieces(blueprint: Blueprint, views: _Views, find: FindDisk) -> None:
    """Route the views that are made of pieces."""

    @blueprint.get("/v86/<block_size>/<name>")
    def v86_part(block_size: str, name: str, **path: str) -> Response:
        found = find(**path)
        return views.send(found, v86.find(found.disk.size, block_size, name))

    @blueprint.get("/tinyemu/<block_size>/<name>")
    def tinyemu_block(block_size: str, name: str, **path: str) -> Response:
        found = find(**path)
        prefetch = views.prefetch_of(found) if tinyemu.needs_prefetch(name) else ()
        return views.send(found, tinyemu.find(found.disk.size, block_size, name, prefetch))

    @blueprint.get("/infinite-mac/<block_size>/<name>")
    def infinite_mac_chunk(block_size: str, name: str, **path: str) -> Response:
        found = find(**path)
        prefetch = views.prefetch_of(found) if name == infinite_mac.MANIFEST else ()
        size, image_name, is_zero = found.disk.size, found.record.name, views.zeros_of(found)
        return views.send(
            found, infinite_mac.find(size, block_size, name, image_name, prefetch, is_zero=is_zero)
        )

    @blueprint.get("/webvm/<name>")
    def webvm_block(name: str, **path: str) -> Response:
        found = find(**path)
        return views.send(found, webvm.find(found.disk.size, name))

    @blueprint.get("/sqlite/<block_size>/<name>")
    def sqlite_piece(block_size: str, name: str, **path: str) -> Response:
        found = find(**path)
        root = own_root() + request.path.removesuffix(f"/sqlite/{block_size}/{name}")
        return views.send(found, sqlite.find(found.disk.size, block_size, name, root))


def _add_disks(blueprint: Blueprint, views: _Views, find: FindDisk) -> None:
    """Route the views that are the plain disk, under other names."""

    @blueprint.get(f"/webvm/bytes/{webvm.DISK}")
    def webvm_bytes(**path: str) -> Response:
        return views.send_disk(find(**path))

    @blueprint.get("/raw/<name>")
    def raw_disk(name: str, **path: str) -> Response:
        found = find(**path)
        if not raw.is_file_name(name):
            raise NotFound("a file name with an extension is needed")
        return views.send_disk(found, save_as=name if "download" in request.args else None)
