"""The gateway's HTTP API as a client sees it, over urllib3."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

CONNECT_SECONDS, READ_SECONDS = 10, 120


class ApiError(Exception):
    """The gateway or the store refused, or could not be reached; `status` is None in the latter case."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class NewUpload:
    """The answer to a create."""

    image_id: str
    upload_id: str
    part_size: int


@dataclass(frozen=True)
class Manifest:
    """A chunked image as its readers need it."""

    version: str
    chunk_size: int
    width: int
    sha256s: list[str] = field(repr=False)


class GatewayClient:
    """Calls one gateway as one user; may be used by many threads."""

    def __init__(self, base_url: str, user_id: str, *, connections: int = 8) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"X-User-Id": user_id}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        self._http = urllib3.PoolManager(maxsize=connections, retries=False, timeout=timeout)

    def create_image(self) -> NewUpload:
        answer = self._json("POST", "/v1/images")
        return NewUpload(answer["imageId"], answer["uploadId"], answer["partSize"])

    def sign_part(self, upload: NewUpload, number: int) -> str:
        """Return the URL to PUT one part to."""
        body = {"uploadId": upload.upload_id, "partNumber": number}
        url: str = self._json("POST", f"/v1/images/{upload.image_id}/upload-url", body)["url"]
        return url

    def put_part(self, url: str, data: bytes) -> str:
        """Send a part straight to the store and return its ETag."""
        response = self._send("PUT", url, body=data, headers={})
        if response.status != 200:
            raise ApiError(f"the store answered {response.status} to a part", status=response.status)
        return response.headers["ETag"]

    def complete(self, upload: NewUpload, etags: dict[int, str]) -> dict[str, Any]:
        """Join the parts, given as number → ETag."""
        parts = [{"partNumber": number, "etag": etag} for number, etag in sorted(etags.items())]
        body = {"uploadId": upload.upload_id, "parts": parts}
        return self._json("POST", f"/v1/images/{upload.image_id}/complete", body)

    def metadata(self, image_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/images/{image_id}/metadata")

    def stream_url(self, image_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/images/{image_id}/stream-url")

    def head_range(self, image_id: str) -> dict[str, str]:
        """Return the headers of the image's bytes."""
        response = self._send("HEAD", self._url(f"/v1/images/{image_id}/range"), headers=self._headers)
        _expect(response, 200)
        return dict(response.headers)

    def read_range(self, image_id: str, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to, not including, `stop`."""
        headers = {**self._headers, "Range": f"bytes={start}-{stop - 1}"}
        response = self._send("GET", self._url(f"/v1/images/{image_id}/range"), headers=headers)
        _expect(response, 206)
        if len(response.data) != stop - start:
            raise ApiError(f"asked for {stop - start} bytes, got {len(response.data)}")
        return response.data

    def read_manifest(self, image_id: str) -> Manifest:
        document = self._json("GET", f"/v1/images/{image_id}/chunked/manifest")
        hashes = [chunk["sha256"] for chunk in document["chunks"]]
        return Manifest(document["version"], document["chunkSize"], document["chunkIndexWidth"], hashes)

    def read_chunk(self, image_id: str, index: int, manifest: Manifest) -> bytes:
        """Return a chunk by the name that the manifest gives it."""
        name = f"{index:0{manifest.width}d}.bin"
        response = self._send(
            "GET", self._url(f"/v1/images/{image_id}/chunked/chunks/{name}"), headers=self._headers
        )
        _expect(response, 200)
        return response.data

    def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        response = self._send(method, self._url(path), body=data, headers=headers)
        _expect(response, 200)
        answer: dict[str, Any] = response.json()
        return answer

    def _url(self, path: str) -> str:
        return self.base_url + path

    def _send(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:
        try:
            return self._http.request(method, url, redirect=False, **options)
        except HTTPError as error:
            # The error's own text may hold a presigned URL.
            raise ApiError(f"{method} failed: {type(error).__name__}") from None


def _expect(response: BaseHTTPResponse, status: int) -> None:
    if response.status == status:
        return
    try:
        error = response.json()["error"]
        code, message = error["code"], error["message"]
    except (ValueError, KeyError, TypeError):
        code, message = None, "no explanation"
    raise ApiError(f"the gateway answered {response.status}: {message}", status=response.status, code=code)
