"""Routes that import images, make empty ones, publish, verify, and show and cancel jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from image_gateway.domain.images import ImageFormat, ImageRecord
from image_gateway.domain.jobs import Job
from image_gateway.routes.http.authentication import current_caller, current_user
from image_gateway.routes.http.rate_limits import Limits
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.http.schemas import EmptyImage, ImportImage, PublishImage, VerifyImage, load_json
from image_gateway.services.jobs.requests import JobRequests
from image_gateway.services.new_images import NewImage


def make_jobs_blueprint(jobs: JobRequests, limits: Limits) -> Blueprint:
    """Routes `images/import`, `images/empty`, `publish`, `verify` and `jobs`."""
    blueprint = Blueprint("jobs", __name__, url_prefix="/v1")

    @blueprint.post("/images/import")
    @limits.create
    def import_image() -> Response:
        owner = current_user()
        body = load_json(ImportImage, request)
        new = NewImage(sha256=body["sha256"], format=body["format"] or ImageFormat.RAW)
        named = replace(new, name=body["name"]) if body["name"] else new
        return accepted_response(*jobs.import_url(owner, body["url"], named))

    @blueprint.post("/images/empty")
    @limits.create
    def make_empty() -> Response:
        owner = current_user()
        body = load_json(EmptyImage, request)
        return accepted_response(
            *jobs.make_empty(owner, NewImage(body["name"] or NewImage.name, size=body["size"]))
        )

    @blueprint.post("/images/<image_id>/publish")
    @limits.complete
    def publish(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(PublishImage, request, optional=True)
        checksum = body["checksum"] == "sha256"
        job = jobs.publish(image_id, caller, chunk_size=body["chunk_size"], checksum=checksum)
        return json_response(job_document(job), status=202)

    @blueprint.post("/images/<image_id>/verify")
    @limits.complete
    def verify(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(VerifyImage, request, optional=True)
        job = jobs.verify(image_id, caller, sample=body["sample"], seed=body["seed"])
        return json_response(job_document(job), status=202)

    @blueprint.get("/images/<image_id>/jobs")
    def list_jobs(image_id: str) -> Response:
        found = jobs.list(image_id, current_caller())
        return json_response({"jobs": [job_document(job) for job in found]})

    @blueprint.get("/jobs/<job_id>")
    def show_job(job_id: str) -> Response:
        return json_response(job_document(jobs.find(job_id, current_caller())))

    @blueprint.delete("/jobs/<job_id>")
    def cancel_job(job_id: str) -> Response:
        return json_response(job_document(jobs.cancel(job_id, current_caller())))

    return blueprint


def job_document(job: Job) -> dict[str, Any]:
    """Return a job as a JSON object; its parameters are not shown, as a URL may hold a secret."""
    document: dict[str, Any] = {
        "jobId": job.job_id,
        "imageId": job.image_id,
        "kind": job.kind,
        "state": job.state,
        "bytesDone": job.bytes_done,
        "bytesTotal": job.bytes_total,
        "attempt": job.attempt,
        "created": timestamp(job.created_at),
        "started": timestamp(job.started_at) if job.started_at else None,
        "finished": timestamp(job.finished_at) if job.finished_at else None,
    }
    if job.error_code is not None:
        document["error"] = {"code": job.error_code, "message": job.error_message or ""}
    if job.result is not None:
        document["result"] = dict(job.result)
    return document


def accepted_response(record: ImageRecord, job: Job) -> Response:
    """Return the response for a new image that a job makes."""
    document = {"imageId": record.image_id, "state": record.state, "job": job_document(job)}
    return json_response(document, status=202)
