"""What routes that read bytes share: who may, what the request asks, and the answer."""

from __future__ import annotations

from typing import NamedTuple

from flask import Request, Response, request

from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.images import DiskFacts, ImageRecord, ImageState, Visibility
from image_gateway.domain.leases import Holder, HolderKind, Lease
from image_gateway.errors import Forbidden, LeaseLapsed, NotFound, Unauthenticated
from image_gateway.observability.request_log import note
from image_gateway.observability.server_timing import Timings
from image_gateway.protocol.addresses import network_of
from image_gateway.protocol.preconditions import Conditions
from image_gateway.routes.http.authentication import (
    current_visitor,
    lease_cookie,
    lease_in_query,
    leased_caller,
    refuse,
)
from image_gateway.routes.http.edge_permissions import (
    NotForEdge,
    asks_for_permission,
    permission_lifetime,
    permission_response,
)
from image_gateway.routes.http.responses import bytes_response
from image_gateway.routes.http.streams import Streams
from image_gateway.services.reading.access import Access
from image_gateway.services.reading.reader import ReadRequest, Representation, Streaming


class Found(NamedTuple):
    """A readable image and who reads it."""

    record: ImageRecord
    disk: DiskFacts
    caller: Caller

    @property
    def lease(self) -> Lease | None:
        """The lease by which it is read, which can be taken back at once."""
        return self.caller.lease


class Reading:
    """Reads representations for the request at hand."""

    def __init__(
        self,
        access: Access,
        streaming: Streaming,
        streams: Streams,
        timings: Timings,
        resource_policy: str,
    ) -> None:
        self._access = access
        self._streaming = streaming
        self._streams = streams
        self._timings = timings
        self._resource_policy = resource_policy

    def find(self, image_id: str, *, fresh: bool = False, chunked: bool = False) -> Found:
        """The image and its disk for a caller by identity or lease; raises as `Access.find_readable`.

        It may be as it was a moment ago, unless `fresh` is asked, or chunks are and it had none. A lease as
        `?token=` is a capability in the URL, as one in the path is.

        A browser sends the lease cookie along by itself, so one that holds no longer does not keep anybody
        from a public image.
        """
        token = lease_in_query()
        if token is not None:
            return self._found(image_id, self._leased(token), fresh, chunked)
        caller = current_visitor()
        cookie = lease_cookie() if caller.is_nobody else None
        if cookie is None:
            return self._found(image_id, caller, fresh, chunked)
        try:
            return self._found(image_id, leased_caller(cookie), fresh, chunked)
        except (Unauthenticated, Forbidden, LeaseLapsed) as refusal:
            try:
                return self._found(image_id, NOBODY, fresh, chunked)
            except Unauthenticated:
                refuse(refusal)

    def find_leased(self, token: str, *, chunked: bool = False) -> Found:
        """The image and its disk for whoever has the lease in the path; `chunked` as for `find`."""
        caller = self._leased(token)
        return self._found(caller.lease.image_id if caller.lease else "", caller, chunked=chunked)

    def _leased(self, token: str) -> Caller:
        try:
            return leased_caller(token)
        except Unauthenticated as refusal:
            refuse(refusal)

    def _found(self, image_id: str, caller: Caller, fresh: bool = False, chunked: bool = False) -> Found:
        with self._timings.step("access"):
            find = self._access.find_readable if fresh else self._access.find_for_reading
            try:
                record, disk = find(image_id, caller)
            except NotFound:
                self._forget_deleted(image_id)
                raise
            if chunked and record.chunked is None:
                record, disk = self._access.find_readable(image_id, caller)
        note(image=record.image_id)
        return Found(record, disk, caller)

    def _forget_deleted(self, image_id: str) -> None:
        """Drop what this machine has cached of an image that was deleted, perhaps through another machine."""
        record = self._access.look_up(image_id) if self._streaming.has_cache else None
        if record is not None and record.state is ImageState.DELETED:
            self._streaming.forget(record.image_id)

    def answer(self, found: Found, target: Representation) -> Response:
        """Read what the request asks of a representation of this image; raises Overloaded.

        nginx in front gets a permission to read it instead.
        """
        if asks_for_permission():
            return self._permit(found, target)
        return self._streams.serve(
            _name_of(found.caller),
            lambda: self._access.may_still_read(found.record, found.caller),
            lambda: self._read(found, target),
        )

    def _read(self, found: Found, target: Representation) -> Response:
        with self._timings.step("store"):
            answer = self._streaming.read(target, read_request(request))
        public = found.record.visibility is Visibility.PUBLIC
        return self._timings.tell(bytes_response(answer, self._resource_policy, public=public))

    def _permit(self, found: Found, target: Representation) -> Response:
        signed = self._streaming.sign(target, read_request(request).conditions)
        if signed is None:
            raise NotForEdge("the gateway answers this request by itself")
        public = found.record.visibility is Visibility.PUBLIC
        seconds = self._access.seconds_to_remember(found.caller)
        lifetime = permission_lifetime(seconds, self._access.seconds_left(found.caller))
        return permission_response(target, signed, lifetime, self._resource_policy, public=public)


def _name_of(caller: Caller) -> str:
    """For whom a stream counts: a user, also by a lease of one's own, a share link, or an address."""
    if caller.user is not None:
        return Holder(HolderKind.USER, caller.user).as_text()
    if caller.lease is not None and caller.lease.holder.kind is not HolderKind.ANYONE:
        return caller.lease.holder.as_text()
    return f"address:{network_of(request.remote_addr)}"


def read_request(http: Request) -> ReadRequest:
    """The raw headers that decide a read; werkzeug's parsed forms lose what is malformed."""
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
