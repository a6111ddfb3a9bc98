"""The gateway's HTTP API as a client sees it, over urllib3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from image_gateway.client import answers
from image_gateway.client.answers import Lease, Manifest, NewUpload, SignedParts, UploadStatus
from image_gateway.client.credentials import Credential, Fixed, Proof, user_name
from image_gateway.client.errors import ApiError as ApiError
from image_gateway.client.errors import gateway_fault, store_fault, unreachable

CONNECT_SECONDS, READ_SECONDS = 10, 120
# Joining thousands of parts, and checking a declared hash, takes the store and the gateway a while.
COMPLETE_SECONDS = 1800
SEND_BLOCK = 256 * 1024

Value = TypeVar("Value")


class GatewayClient:
    """Calls one gateway as one user, by name or by a credential; may be used by many threads.

    What proves who asks goes to the gateway alone, never to the store. A refusal is asked again once when the
    credential has something new by then.
    """

    def __init__(self, base_url: str, who: str | Credential, *, connections: int = 8) -> None:
        self.base_url = base_url.rstrip("/")
        self._who = user_name(who) if isinstance(who, str) else who
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        self._http = urllib3.PoolManager(
            maxsize=connections, retries=False, timeout=timeout, blocksize=SEND_BLOCK
        )

    def create_image(self, **declared: str | int | None) -> NewUpload:
        """Create an image; `declared` are name, kind, sizeBytes, sha256 and filename, None left out."""
        body = {name: value for name, value in declared.items() if value is not None}
        return _read(answers.new_upload, self._json("POST", "/v1/images", body or None))

    def sign_part(self, upload: NewUpload, number: int) -> str:
        """Return the URL to PUT one part to."""
        body = {"uploadId": upload.upload_id, "partNumber": number}
        url: str = self._json("POST", _image(upload.image_id, "/upload-url"), body)["url"]
        return url

    def sign_parts(self, upload: NewUpload, numbers: Sequence[int]) -> SignedParts:
        """Return the URLs to PUT at most 1000 parts to."""
        body = {"uploadId": upload.upload_id, "partNumbers": list(numbers)}
        return _read(answers.signed_parts, self._json("POST", _image(upload.image_id, "/upload-urls"), body))

    def put_part(self, url: str, body: Sized) -> str:
        """Send a part, bytes or a readable with a length, straight to the store and return its ETag."""
        # Without a stated length urllib3 sends a readable in chunks, which stores refuse.
        headers = {"Content-Length": str(len(body))}
        response = self._send("PUT", url, body=body, headers=headers)
        if response.status != 200:
            raise store_fault(response)
        if "ETag" not in response.headers:
            raise ApiError("the store took a part but gave no ETag for it", status=response.status)
        return response.headers["ETag"]

    def upload_status(self, image_id: str) -> UploadStatus:
        """Return an upload under way and the parts that the store has; INVALID_STATE when it is over."""
        return _read(answers.upload_status, self._json("GET", _image(image_id, "/upload")))

    def abort_upload(self, image_id: str) -> None:
        """Throw an unfinished upload and its parts away."""
        self._json("DELETE", _image(image_id, "/upload"))

    def complete(self, upload: NewUpload, etags: dict[int, str] | None = None) -> dict[str, Any]:
        """Join the parts, given as number → ETag, or else those that the store has."""
        body: dict[str, Any] = {"uploadId": upload.upload_id}
        if etags is not None:
            body["parts"] = [{"partNumber": number, "etag": etag} for number, etag in sorted(etags.items())]
        return self._json(
            "POST", _image(upload.image_id, "/complete"), body, timeout=urllib3.Timeout(COMPLETE_SECONDS)
        )

    def list_images(self, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of the user's images; `filters` are state, name, shared, limit and cursor."""
        return self._page("/v1/images", "images", filters)

    def image(self, image_id: str) -> dict[str, Any]:
        """Return the record of an image."""
        return self._json("GET", _image(image_id))

    def change_image(self, image_id: str, **changes: str) -> dict[str, Any]:
        """Change an image's name or visibility and return its record."""
        return self._json("PATCH", _image(image_id), changes)

    def delete_image(self, image_id: str) -> None:
        self._json("DELETE", _image(image_id))

    def metadata(self, image_id: str) -> dict[str, Any]:
        return self._json("GET", _image(image_id, "/metadata"))

    def stream_url(self, image_id: str) -> dict[str, Any]:
        return self._json("GET", _image(image_id, "/stream-url"))

    def share(self, image_id: str, user: str, permission: str) -> dict[str, Any]:
        """Let a user read an image, or write to it, and return the share."""
        return self._json("POST", _image(image_id, "/shares"), {"user": user, "permission": permission})

    def unshare(self, image_id: str, user: str) -> None:
        self._json("DELETE", _image(image_id, f"/shares?{urlencode({'user': user})}"))

    def list_shares(self, image_id: str, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of `shares`; `filters` are limit and cursor."""
        return self._page(_image(image_id, "/shares"), "shares", filters)

    def make_share_link(self, image_id: str, **bounds: int | None) -> dict[str, Any]:
        """Make a link and return it with its token; `bounds` are ttlSeconds and maxUses, None left out."""
        body = {name: value for name, value in bounds.items() if value is not None}
        return self._json("POST", _image(image_id, "/share-links"), body or None)

    def list_share_links(self, image_id: str, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of `shareLinks`; `filters` are limit and cursor."""
        return self._page(_image(image_id, "/share-links"), "shareLinks", filters)

    def revoke_share_link(self, image_id: str, link_id: str) -> None:
        self._json("DELETE", _image(image_id, f"/share-links/{quote(link_id, safe='')}"))

    def redeem(self, token: str) -> Lease:
        """Make a lease by a share link's token; each time counts as a use."""
        return self._lease("/v1/share-links/redeem", {"token": token}, hidden=token)

    def renew(self, lease_id: str, lease: Proof) -> Lease:
        """Move the end of a lease, by the lease itself."""
        return self._lease(f"/v1/leases/{quote(lease_id, safe='')}/renew", who=Fixed(lease))

    def head_range(self, image_id: str) -> dict[str, str]:
        """Return the headers of the image's bytes."""
        return dict(self._send_request("HEAD", _image(image_id, "/range")).headers)

    def read_range(self, image_id: str, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to, not including, `stop`."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        response = self._send_request("GET", _image(image_id, "/range"), headers=headers, expected=(206,))
        if len(response.data) != stop - start:
            raise ApiError(f"asked for {stop - start} bytes, got {len(response.data)}")
        return response.data

    @contextmanager
    def open_range(self, image_id: str, start: int, stop: int, etag: str) -> Iterator[BaseHTTPResponse]:
        """Give the unread answer to a range of the version `etag`; close it after.

        Its status is 206, or 200 or 412 when the gateway has another version.
        """
        response = self._send_request(
            "GET",
            _image(image_id, "/range"),
            headers={"Range": f"bytes={start}-{stop - 1}", "If-Match": etag, "If-Range": etag},
            expected=(200, 206, 412),
            preload_content=False,
        )
        try:
            yield response
        except HTTPError as error:
            raise unreachable("GET", error) from None
        finally:
            # What is left unread would otherwise be taken for the next answer.
            response.close()
            response.release_conn()

    def read_manifest(self, image_id: str) -> Manifest:
        return _read(answers.manifest, self._json("GET", _image(image_id, "/chunked/manifest")))

    def read_chunk(self, image_id: str, index: int, manifest: Manifest) -> bytes:
        """Return a chunk by the name that the manifest gives it."""
        return self._send_request(
            "GET", _image(image_id, f"/chunked/chunks/{index:0{manifest.width}d}.bin")
        ).data

    @property
    def _headers(self) -> Mapping[str, str]:
        return self._who.proof().headers

    def _page(self, path: str, records: str, filters: Mapping[str, str | int | None]) -> dict[str, Any]:
        query = urlencode({name: value for name, value in filters.items() if value is not None})
        page = self._json("GET", f"{path}?{query}" if query else path)
        _read(lambda answer: answer[records], page)
        return page

    def _lease(self, path: str, body: Any = None, **options: Any) -> Lease:
        response = self._send_request("POST", path, body, **options)
        return _read(lambda answer: answers.lease(answer.json(), answer.headers.get("Date")), response)

    def _json(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        return _read(lambda answer: dict(answer.json()), self._send_request(method, path, body, **options))

    def _send_request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
        who: Credential | None = None,
        hidden: str | None = None,
        **options: Any,
    ) -> BaseHTTPResponse:
        """Ask the gateway, as its user or as `who`; another status than `expected` is raised as a fault."""
        who = who or self._who
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/json"
            options["body"] = json.dumps(body).encode()

        def ask(proof: Proof) -> BaseHTTPResponse | ApiError:
            url = self.base_url + path
            response = self._send(method, url, headers={**proof.headers, **sent}, **options)
            if response.status in expected:
                return response
            return _fault(method, response, proof.secret, hidden)

        proof = who.proof()
        found = ask(proof)
        if isinstance(found, ApiError) and who.replaces(proof, found):
            found = ask(who.proof())
        if isinstance(found, ApiError):
            raise found
        return found

    def _send(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:
        try:
            return self._http.request(method, url, redirect=False, **options)
        except HTTPError as error:
            raise unreachable(method, error) from None


def _image(image_id: str, rest: str = "") -> str:
    return f"/v1/images/{quote(image_id, safe='')}{rest}"


def _fault(method: str, response: BaseHTTPResponse, *hidden: str | None) -> ApiError:
    try:
        return gateway_fault(response, *hidden)
    except HTTPError as error:
        return unreachable(method, error)
    finally:
        # What is left unread would otherwise be taken for the next answer.
        response.close()
        response.release_conn()


def _read(shape: Callable[[Any], Value], answer: Any) -> Value:
    """Read an answer into a value; an ApiError when it is none of the gateway's."""
    try:
        return shape(answer)
    except (ValueError, KeyError, TypeError):
        raise ApiError("the answer is not a gateway's: is the address right?") from None
