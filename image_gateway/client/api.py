"""The gateway's HTTP API as a client sees it, over urllib3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from image_gateway.client import answers
from image_gateway.client.answers import Manifest, NewUpload, SignedParts, UploadStatus
from image_gateway.client.faults import ApiError as ApiError
from image_gateway.client.faults import gateway_fault, store_fault, unreachable

CONNECT_SECONDS, READ_SECONDS = 10, 120
# Joining thousands of parts, and checking a declared hash, takes the store and the gateway a while.
COMPLETE_SECONDS = 1800
SEND_BLOCK = 256 * 1024

Value = TypeVar("Value")


class GatewayClient:
    """Calls one gateway as one user; may be used by many threads."""

    def __init__(self, base_url: str, user_id: str, *, connections: int = 8) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"X-User-Id": user_id}
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
        """Return one page of the user's images; `filters` are state, name, limit and cursor."""
        query = urlencode({name: value for name, value in filters.items() if value is not None})
        return self._json("GET", f"/v1/images?{query}" if query else "/v1/images")

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

    def head_range(self, image_id: str) -> dict[str, str]:
        """Return the headers of the image's bytes."""
        response = self._send("HEAD", self._url(_image(image_id, "/range")), headers=self._headers)
        _expect(response, 200)
        return dict(response.headers)

    def read_range(self, image_id: str, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to, not including, `stop`."""
        headers = {**self._headers, "Range": f"bytes={start}-{stop - 1}"}
        response = self._send("GET", self._url(_image(image_id, "/range")), headers=headers)
        _expect(response, 206)
        if len(response.data) != stop - start:
            raise ApiError(f"asked for {stop - start} bytes, got {len(response.data)}")
        return response.data

    @contextmanager
    def open_range(self, image_id: str, start: int, stop: int, etag: str) -> Iterator[BaseHTTPResponse]:
        """Give the unread answer to a range of the version `etag`, whatever its status; close it after."""
        headers = {
            **self._headers,
            "Range": f"bytes={start}-{stop - 1}",
            "If-Match": etag,
            "If-Range": etag,
        }
        url = self._url(_image(image_id, "/range"))
        response = self._send("GET", url, headers=headers, preload_content=False)
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
        path = _image(image_id, f"/chunked/chunks/{index:0{manifest.width}d}.bin")
        response = self._send("GET", self._url(path), headers=self._headers)
        _expect(response, 200)
        return response.data

    def _json(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        response = self._send(method, self._url(path), body=data, headers=headers, **options)
        _expect(response, 200)
        return _read(dict, _read(lambda answer: answer.json(), response))

    def _url(self, path: str) -> str:
        return self.base_url + path

    def _send(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:
        try:
            return self._http.request(method, url, redirect=False, **options)
        except HTTPError as error:
            raise unreachable(method, error) from None


def _image(image_id: str, rest: str = "") -> str:
    return f"/v1/images/{quote(image_id, safe='')}{rest}"


def _expect(response: BaseHTTPResponse, status: int) -> None:
    if response.status != status:
        raise gateway_fault(response)


def _read(shape: Callable[[Any], Value], answer: Any) -> Value:
    """Read an answer into a value; an ApiError when it is none of the gateway's."""
    try:
        return shape(answer)
    except (ValueError, KeyError, TypeError):
        raise ApiError("the answer is not a gateway's: is the address right?") from None
