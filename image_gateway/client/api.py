"""Client for the gateway's HTTP API, based on urllib3."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3 import BaseHTTPResponse

from image_gateway.client import answers
from image_gateway.client.answers import Lease, Manifest, NewUpload, SignedParts, UploadStatus
from image_gateway.client.credentials import Credentials, FixedCredentials
from image_gateway.client.errors import ApiError as ApiError
from image_gateway.client.errors import store_error
from image_gateway.client.transport import GatewayTransport, parse

# Completing an upload with thousands of parts and verifying a declared hash takes minutes.
COMPLETE_SECONDS = 1800


class GatewayClient(GatewayTransport):
    """Thread-safe client for one gateway and one user.

    Credentials are sent to the gateway only, never to the store. A rejected request is retried once when the
    credential can be refreshed.

    Args:
        base_url: URL of the gateway, without `/v1`.
        who: A user id for AUTH_MODE=dev, or a credential.
        connections: Size of the connection pool.
    """

    def create_image(self, **declared: str | int | None) -> NewUpload:
        """Create an image; `declared` takes name, kind, sizeBytes, sha256 and filename."""
        body = {name: value for name, value in declared.items() if value is not None}
        return parse(answers.new_upload, self.send_json("POST", "/v1/images", body or None))

    def sign_part(self, upload: NewUpload, number: int) -> str:
        """Return the presigned URL for one part."""
        body = {"uploadId": upload.upload_id, "partNumber": number}
        url: str = self.send_json("POST", _image(upload.image_id, "/upload-url"), body)["url"]
        return url

    def sign_parts(self, upload: NewUpload, numbers: Sequence[int]) -> SignedParts:
        """Return presigned URLs for at most 1000 parts."""
        body = {"uploadId": upload.upload_id, "partNumbers": list(numbers)}
        return parse(
            answers.signed_parts, self.send_json("POST", _image(upload.image_id, "/upload-urls"), body)
        )

    def put_part(self, url: str, body: Sized) -> str:
        """PUT a part to the store and return its ETag.

        Args:
            url: Presigned URL of the part.
            body: Bytes, or a readable object with a length.

        Raises:
            ApiError: The store rejected the part, sent no ETag, or could not be reached.
        """
        # Without Content-Length urllib3 uses chunked transfer encoding, which S3 rejects.
        headers = {"Content-Length": str(len(body))}
        response = self._send("PUT", url, body=body, headers=headers)
        if response.status != 200:
            raise store_error(response)
        if "ETag" not in response.headers:
            raise ApiError("the store accepted a part but sent no ETag", status=response.status)
        return response.headers["ETag"]

    def upload_status(self, image_id: str) -> UploadStatus:
        """Return an open upload and its stored parts.

        Raises:
            ApiError: With code INVALID_STATE when the upload was completed or aborted.
        """
        return parse(answers.upload_status, self.send_json("GET", _image(image_id, "/upload")))

    def abort_upload(self, image_id: str) -> None:
        """Abort an open upload and delete its parts."""
        self.send_json("DELETE", _image(image_id, "/upload"))

    def complete(self, upload: NewUpload, etags: dict[int, str] | None = None) -> dict[str, Any]:
        """Complete an upload from `etags` by part number; by default from all stored parts."""
        body: dict[str, Any] = {"uploadId": upload.upload_id}
        if etags is not None:
            body["parts"] = [{"partNumber": number, "etag": etag} for number, etag in sorted(etags.items())]
        return self.send_json(
            "POST", _image(upload.image_id, "/complete"), body, timeout=urllib3.Timeout(COMPLETE_SECONDS)
        )

    def list_images(self, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of images; `filters` takes state, name, shared, limit and cursor."""
        return self.page("/v1/images", "images", filters)

    def image(self, image_id: str) -> dict[str, Any]:
        """Return the record of an image."""
        return self.send_json("GET", _image(image_id))

    def change_image(self, image_id: str, **changes: str) -> dict[str, Any]:
        """Change an image's name or visibility and return its record."""
        return self.send_json("PATCH", _image(image_id), changes)

    def delete_image(self, image_id: str, *, cascade: bool = False) -> None:
        """Delete an image.

        Args:
            cascade: Delete its deltas, too, instead of failing with the code HAS_DELTAS.
        """
        self.send_json("DELETE", _image(image_id, "?cascade=true" if cascade else ""))

    def metadata(self, image_id: str) -> dict[str, Any]:
        """Return the size, ETag and delivery of an image."""
        return self.send_json("GET", _image(image_id, "/metadata"))

    def stream_url(self, image_id: str) -> dict[str, Any]:
        """Return the URL from which a browser streams an image."""
        return self.send_json("GET", _image(image_id, "/stream-url"))

    def share(self, image_id: str, user: str, permission: str) -> dict[str, Any]:
        """Share an image with a user; `permission` is `read` or `write`. Return the share."""
        return self.send_json("POST", _image(image_id, "/shares"), {"user": user, "permission": permission})

    def unshare(self, image_id: str, user: str) -> None:
        """Revoke a user's share of an image."""
        self.send_json("DELETE", _image(image_id, f"/shares?{urlencode({'user': user})}"))

    def list_shares(self, image_id: str, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of `shares`; `filters` takes limit and cursor."""
        return self.page(_image(image_id, "/shares"), "shares", filters)

    def make_share_link(self, image_id: str, **limits: int | str | None) -> dict[str, Any]:
        """Create a share link and return it with its token; `limits` takes ttlSeconds, maxUses and label."""
        body = {name: value for name, value in limits.items() if value is not None}
        return self.send_json("POST", _image(image_id, "/share-links"), body or None)

    def list_share_links(self, image_id: str, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of `shareLinks`; `filters` takes limit and cursor."""
        return self.page(_image(image_id, "/share-links"), "shareLinks", filters)

    def revoke_share_link(self, image_id: str, link_id: str) -> None:
        """Revoke a share link and the leases made from it."""
        self.send_json("DELETE", _image(image_id, f"/share-links/{quote(link_id, safe='')}"))

    def redeem(self, token: str) -> Lease:
        """Redeem a share link for a lease; every call counts as one use."""
        return self._lease("/v1/share-links/redeem", {"token": token}, hidden=token)

    def renew(self, lease_id: str, lease: Credentials) -> Lease:
        """Renew a lease, authenticated by the lease token itself."""
        return self._lease(f"/v1/leases/{quote(lease_id, safe='')}/renew", who=FixedCredentials(lease))

    def head_range(self, image_id: str) -> dict[str, str]:
        """Return the response headers of a HEAD request for the image data."""
        return dict(self.send("HEAD", _image(image_id, "/range")).headers)

    def read_range(self, image_id: str, start: int, stop: int) -> bytes:
        """Return bytes `start` to `stop`, `stop` excluded."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        response = self.send("GET", _image(image_id, "/range"), headers=headers, expected=(206,))
        if len(response.data) != stop - start:
            raise ApiError(f"expected {stop - start} bytes, received {len(response.data)}")
        return response.data

    def open_range(
        self, image_id: str, start: int, stop: int, etag: str
    ) -> AbstractContextManager[BaseHTTPResponse]:
        """Yield the unread response to a range request, as `stream_range`."""
        return self.stream_range(_image(image_id, "/range"), start, stop, etag)

    def read_manifest(self, image_id: str) -> Manifest:
        """Return the chunk manifest of an image."""
        return parse(answers.manifest, self.send_json("GET", _image(image_id, "/chunked/manifest")))

    def read_chunk(self, image_id: str, index: int, manifest: Manifest) -> bytes:
        """Return the data of chunk `index`."""
        return self.send("GET", _image(image_id, f"/chunked/chunks/{index:0{manifest.width}d}.bin")).data

    def _lease(self, path: str, body: Any = None, **options: Any) -> Lease:
        response = self.send("POST", path, body, **options)
        return parse(lambda answer: answers.lease(answer.json(), answer.headers.get("Date")), response)


def _image(image_id: str, rest: str = "") -> str:
    return f"/v1/images/{quote(image_id, safe='')}{rest}"
