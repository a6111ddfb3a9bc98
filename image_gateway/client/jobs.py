"""Calls of the gateway's API about background jobs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from image_gateway.client.api import GatewayClient

ACTIVE = ("queued", "running")


class JobsClient:
    """Background jobs of one gateway. All methods raise ApiError."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    def import_url(self, url: str, **options: str | None) -> dict[str, Any]:
        """Import an image from a URL; `options` takes name, format and sha256. Return imageId and job."""
        return self._post("/v1/images/import", url=url, **options)

    def make_empty(self, size: int, name: str | None) -> dict[str, Any]:
        """Create an all-zero disk of `size` bytes. Return imageId and job."""
        return self._post("/v1/images/empty", sizeBytes=size, name=name)

    def publish(self, image_id: str, **options: int | str | None) -> dict[str, Any]:
        """Queue publishing; `options` takes chunkSize and checksum. Return the job."""
        return self._post(f"/v1/images/{quote(image_id, safe='')}/publish", **options)

    def verify(self, image_id: str, **options: int | None) -> dict[str, Any]:
        """Queue a verification; `options` takes sample and seed. Return the job."""
        return self._post(f"/v1/images/{quote(image_id, safe='')}/verify", **options)

    def list(self, image_id: str) -> list[dict[str, Any]]:
        """Return the newest jobs of an image, newest first."""
        answer = self._client.send_json("GET", f"/v1/images/{quote(image_id, safe='')}/jobs")
        jobs: list[dict[str, Any]] = answer["jobs"]
        return jobs

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        return self._client.send_json("GET", f"/v1/jobs/{quote(job_id, safe='')}")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job and return it."""
        return self._client.send_json("DELETE", f"/v1/jobs/{quote(job_id, safe='')}")

    def _post(self, path: str, **values: Any) -> dict[str, Any]:
        body = {name: value for name, value in values.items() if value is not None}
        return self._client.send_json("POST", path, body, expected=(202,))
