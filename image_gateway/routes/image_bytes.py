"""Finds the disk that a request reads, and answers with its bytes; the routes that read it by range."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from flask import Blueprint, Request, Response, request

from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.deltas import Delta
from image_gateway.domain.images import DiskFacts, ImageRecord, ImageState, Visibility
from image_gateway.domain.leases import HolderKind, Lease
from image_gateway.errors import Forbidden, LeaseLapsed, NotFound, Unauthenticated
from image_gateway.observability.request_log import attach_stream, note, record_ranges
from image_gateway.observability.server_timing import Timings
from image_gateway.protocol.addresses import network_of
from image_gateway.protocol.preconditions import Conditions
from image_gateway.routes.http.authentication import (
    asks_for_permission,
    current_visitor,
    lease_cookie,
    lease_in_query,
    leased_caller,
    refuse,
)
from image_gateway.routes.http.delta_schemas import ReadDelta
from image_gateway.routes.http.edge_permissions import (
    NeverForEdge,
    NotForEdge,
    permission_lifetime,
    permission_response,
)
from image_gateway.routes.http.responses import bytes_response, view_response
from image_gateway.routes.http.schemas import load_query
from image_gateway.services.deltas.reading import DeltaReads
from image_gateway.services.reading.access import Access
from image_gateway.services.reading.reader import Reader, represent_disk
from image_gateway.services.reading.representations import (
    Answer,
    ReadRequest,
    Representation,
)
from image_gateway.services.slots import Streams


def make_stream_blueprint(handler: ReadHandler) -> Blueprint:
    """Routes `range` of images, and `disk.img` of deltas."""
    blueprint = Blueprint("stream", __name__, url_prefix="/v1")

    @blueprint.get("/images/<image_id>/range")
    def read_range(image_id: str) -> Response:
        found = handler.find(image_id)
        return handler.answer(found, found.target)

    @blueprint.get("/deltas/<delta_id>/disk.img")
    def read_delta(delta_id: str) -> Response:
        found = handler.find_delta(delta_id)
        return handler.answer(found, found.target)

    return blueprint


class ReadableDisk(NamedTuple):
    """The disk of a readable image, or of a delta over one, and its caller."""

    record: ImageRecord
    disk: DiskFacts
    caller: Caller
    target: Representation
    delta: Delta | None = None

    @property
    def lease(self) -> Lease | None:
        """The lease by which it is read, if any."""
        return self.caller.lease

    @property
    def is_public(self) -> bool:
        """Whether everybody may read it."""
        return self.delta is None and self.record.visibility is Visibility.PUBLIC


class ReadHandler:
    """Finds the disk that a request reads, and answers with bytes of it or with a permission for nginx."""

    def __init__(
        self,
        access: Access,
        deltas: DeltaReads,
        reader: Reader,
        streams: Streams,
        timings: Timings,
        resource_policy: str,
    ) -> None:
        self._access = access
        self._deltas = deltas
        self._reader = reader
        self._streams = streams
        self._timings = timings
        self._resource_policy = resource_policy
        # Emulators run on pages of their own, which a policy for this origin alone would shut out.
        self._view_policy = "same-site" if resource_policy == "same-origin" else resource_policy
        self._step = timings.step if timings.enabled else nullcontext

    def find(self, image_id: str, *, fresh: bool = False, chunked: bool = False) -> ReadableDisk:
        """Return the image for a caller by identity or lease; raises the errors of `Access.find_readable`.

        A browser always sends the lease cookie, so an invalid one does not prevent reading a public image.

        Args:
            image_id: The id in the URL.
            fresh: Ask the catalog instead of the permission cache.
            chunked: Also ask the catalog when the cached record is not published as chunks.
        """
        token = lease_in_query()
        if token is not None:
            return self._found(image_id, self._leased(token), fresh, chunked)
        caller = current_visitor()
        cookie = lease_cookie() if caller == NOBODY else None
        if cookie is None:
            return self._found(image_id, caller, fresh, chunked)
        try:
            return self._found(image_id, leased_caller(cookie), fresh, chunked)
        except (Unauthenticated, Forbidden, LeaseLapsed) as refusal:
            try:
                return self._found(image_id, NOBODY, fresh, chunked)
            except Unauthenticated:
                refuse(refusal)

    def find_leased(self, token: str, *, chunked: bool = False) -> ReadableDisk:
        """Return the image or delta for the lease in the path; `chunked` as for `find`."""
        caller = self._leased(token)
        leased = caller.lease.delta if caller.lease is not None else None
        if leased is None:
            return self._found(caller.lease.image_id if caller.lease else "", caller, chunked=chunked)
        if chunked:
            raise NotFound("a delta has no chunks: read its disk.img or its views")
        return self._found_delta(leased.delta_id, caller, None)

    def find_delta(self, delta_id: str) -> ReadableDisk:
        """Return the disk of a delta for a caller by identity or lease, at the generation in the query."""
        token = lease_in_query()
        caller = current_visitor() if token is None else self._leased(token)
        generation = load_query(ReadDelta, request)["generation"] if request.query_string else None
        return self._found_delta(delta_id, caller, generation)

    def _leased(self, token: str) -> Caller:
        try:
            return leased_caller(token)
        except Unauthenticated as refusal:
            refuse(refusal)

    def _found(
        self, image_id: str, caller: Caller, fresh: bool = False, chunked: bool = False
    ) -> ReadableDisk:
        with self._step("access"):
            find = self._access.find_readable if fresh else self._access.find_for_reading
            try:
                record, disk = find(image_id, caller)
            except NotFound:
                self._forget_deleted(image_id)
                raise
            if chunked and record.chunked is None:
                record, disk = self._access.find_readable(image_id, caller)
        note(image=record.image_id)
        if caller.lease is not None and caller.lease.record:
            record_ranges()
        return ReadableDisk(record, disk, caller, represent_disk(record, disk))

    def _found_delta(self, delta_id: str, caller: Caller, generation: int | None) -> ReadableDisk:
        with self._step("access"):
            try:
                found, target = self._deltas.find(delta_id, caller, generation)
            except NotFound:
                self._forget_deleted_base(delta_id)
                raise
        note(image=found.record.image_id, delta=found.delta.delta_id)
        return ReadableDisk(found.record, found.disk, caller, target, found.delta)

    def _may_still_read(self, found: ReadableDisk) -> bool:
        if found.delta is None:
            return self._access.may_still_read(found.record, found.caller)
        return self._deltas.may_still_read(found.delta, found.record, found.caller)

    def _forget_deleted(self, image_id: str) -> None:
        """Remove cached blocks of an image that was deleted, perhaps through another machine."""
        record = self._access.look_up(image_id) if self._reader.has_cache else None
        if record is not None and record.state is ImageState.DELETED:
            self._reader.forget(record.image_id)

    def _forget_deleted_base(self, delta_id: str) -> None:
        """As `_forget_deleted`, for the image of a delta: blocks of segments are among the image's."""
        image_id = self._deltas.image_of(delta_id) if self._reader.has_cache else None
        if image_id is not None:
            self._forget_deleted(image_id)

    def answer(self, found: ReadableDisk, target: Representation) -> Response:
        """Answer the request with bytes of a representation; raises Overloaded.

        nginx in front gets a permission to read it instead.
        """
        if asks_for_permission():
            return self._permit(found, target, self._resource_policy)
        return self._stream(found, lambda: self._read(found, target))

    def answer_view(self, found: ReadableDisk, read: Callable[[ReadRequest], Answer]) -> Response:
        """Answer the request with a file of a view, which `read` opens; raises Overloaded and NotForEdge."""
        if asks_for_permission():
            raise NotForEdge("the gateway answers this request by itself")
        return self._stream(found, lambda: self._read_view(found, read))

    def answer_plain_view(self, found: ReadableDisk) -> Response:
        """Answer the request with the plain disk, by ranges, as `answer` but without Content-Encoding."""
        if asks_for_permission():
            return self._permit(found, found.target, self._view_policy)
        return self.answer_view(found, partial(self._reader.read, found.target))

    def _stream(self, found: ReadableDisk, respond: Callable[[], Response]) -> Response:
        """Return a response whose body has a slot until its end."""
        stream = self._streams.start(stream_holder(found.caller), partial(self._may_still_read, found))
        try:
            response = respond()
        except BaseException:
            stream.release()
            raise
        if response.response:
            attach_stream(stream)
        else:
            stream.release()
        return response

    def _read(self, found: ReadableDisk, target: Representation) -> Response:
        with self._step("store"):
            answer = self._reader.read(target, read_request(request))
        response = bytes_response(answer, self._resource_policy, public=found.is_public)
        return self._timings.tell(response) if self._timings.enabled else response

    def _read_view(self, found: ReadableDisk, read: Callable[[ReadRequest], Answer]) -> Response:
        with self._step("store"):
            answer = read(read_request(request))
        is_leased = "token" in (request.view_args or {})
        response = view_response(answer, self._view_policy, public=found.is_public, is_leased=is_leased)
        return self._timings.tell(response) if self._timings.enabled else response

    def _permit(self, found: ReadableDisk, target: Representation, resource_policy: str) -> Response:
        if found.delta is not None:
            raise NeverForEdge("nginx cannot merge base and delta: pass the request to the gateway")
        signed = self._reader.sign(target, read_request(request).conditions)
        is_recorded = found.lease is not None and found.lease.record
        if signed is None or is_recorded:
            raise NotForEdge("nginx cannot serve this request: pass it to the gateway")
        seconds = self._access.seconds_to_remember(found.caller)
        lifetime = permission_lifetime(seconds, self._access.seconds_left(found.caller))
        return permission_response(target, signed, lifetime, resource_policy, public=found.is_public)


def stream_holder(caller: Caller) -> str:
    """Return whose stream it is: a user's (by identity or own lease), a share link's, or an address's."""
    if caller.user is not None:
        return f"{HolderKind.USER.value}:{caller.user}"
    if caller.lease is not None and caller.lease.holder.kind is not HolderKind.ANYONE:
        return caller.lease.holder.as_text()
    return f"address:{network_of(request.remote_addr)}"


def read_request(http: Request) -> ReadRequest:
    """Return the raw headers: werkzeug's parsed forms drop malformed values."""
    environ = http.environ
    return ReadRequest(
        range_header=environ.get("HTTP_RANGE"),
        conditions=Conditions(
            if_match=environ.get("HTTP_IF_MATCH"),
            if_none_match=environ.get("HTTP_IF_NONE_MATCH"),
            if_modified_since=environ.get("HTTP_IF_MODIFIED_SINCE"),
            if_unmodified_since=environ.get("HTTP_IF_UNMODIFIED_SINCE"),
            if_range=environ.get("HTTP_IF_RANGE"),
        ),
        head=http.method == "HEAD",
    )
